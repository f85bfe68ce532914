"""The function of one table, for programs that divide the work themselves."""

from __future__ import annotations

import pickle

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import chainrule
from chainrule.errors import InputError

TEXTS = ["one text", "", "another text", None]


@pytest.fixture(scope="module")
def scorer(tiny_folder):
    return chainrule.TableScorer(str(tiny_folder), per="both")


@pytest.mark.parametrize(
    "make",
    [pa.table, pl.DataFrame, pd.DataFrame, pa.RecordBatch.from_pydict],
    ids=["table", "polars", "pandas", "batch"],
)
def test_the_table_comes_back_with_our_columns(scorer, tiny, make):
    table = make({"text": TEXTS, "n": [1, 2, 3, 4]})
    scored = scorer(table)
    assert type(scored) is type(table)
    columns = pa.Table.from_pandas(scored) if isinstance(scored, pd.DataFrame) else pa.table(scored)
    names = columns.schema.names
    assert names[:4] == ["text", "n", "text_blake2", "error"]
    assert {"file", "row"} & set(names) == set()
    expected = tiny.score_batch([TEXTS[0], TEXTS[2]])
    assert [
        value for value in columns["logprob"].to_pylist() if value == value and value is not None
    ] == expected.logprob.tolist()
    assert columns["ids"].to_pylist()[2] == expected[1].ids.tolist()
    assert [bool(error) for error in columns["error"].to_pylist()] == [False, True, False, True]


def test_a_pickled_scorer_loads_its_model_anew(scorer, tiny_folder):
    scorer(pa.table({"text": ["x y"]}))
    copy = pickle.loads(pickle.dumps(scorer))
    assert "_worker" not in vars(copy)
    assert copy(pa.table({"text": ["x y"]})).equals(scorer(pa.table({"text": ["x y"]})))


def test_empty_tables_have_the_columns(scorer):
    empty = scorer(pa.table({"text": pa.array([], pa.string())}))
    assert empty.schema.equals(scorer(pa.table({"text": ["x"]})).schema)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (pa.table({"body": ["x"]}), "there is no column 'text'"),
        (pa.table({"text": [1]}), "a text must be a str"),
        ([], "must be a DataFrame"),
    ],
)
def test_tables_that_cannot_be_used(scorer, table, words):
    with pytest.raises(InputError, match=words):
        scorer(table)


def test_kinds_of_rows_are_checked_at_once():
    with pytest.raises(InputError, match="per must be one of"):
        chainrule.TableScorer(per="word")
