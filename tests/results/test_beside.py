"""A user's table beside ours: all columns are kept, and a name that both have stays the user's."""

from __future__ import annotations

import pyarrow
import pytest

from chainrule import InputError
from chainrule.results.beside import beside, told

OURS = pyarrow.table({"rank": [1, 2], "logprob": [-1.0, -2.0]}, metadata={"chainrule": "{}"})


def test_their_columns_come_first_and_keep_names_and_types():
    theirs = pyarrow.table({"b": pyarrow.array([1, 2], pyarrow.int8()), "rank": ["x", "y"]}, metadata={"pandas": "{}"})
    both, names = beside(theirs, OURS)
    assert both.column_names == ["b", "rank", "rank_chainrule", "logprob"]
    assert both.select(["b", "rank"]).cast(theirs.schema).equals(theirs)
    assert both.schema.field("b").type == pyarrow.int8()
    assert both["rank_chainrule"].to_pylist() == [1, 2]
    assert both.schema.metadata == {b"chainrule": b"{}"}
    assert told(names).endswith("of our columns, rank is rank_chainrule")


def test_a_suffix_that_is_taken_too_gets_a_number():
    columns = ["rank", "rank_chainrule", "rank_chainrule2", "logprob"]
    _, names = beside(pyarrow.table({name: [0, 0] for name in columns}), OURS)
    assert names == {"rank": "rank_chainrule3", "logprob": "logprob_chainrule"}


def test_a_table_without_columns_and_tables_of_other_lengths():
    assert beside(pyarrow.table({}), OURS) == (OURS, {})
    with pytest.raises(InputError, match="have 1 and 2 rows"):
        beside(pyarrow.table({"a": [1]}), OURS)
