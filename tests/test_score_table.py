"""`score_table`: a table in, a table of the same library out, with its own columns unchanged and first."""

from __future__ import annotations

import datetime
import math
from typing import Any

import numpy as np
import pandas
import polars
import pyarrow
import pytest

from chainrule import InputError, LanguageModel, TableModel

TEXTS = ["AB", "B", "BBA"]


@pytest.fixture
def lm() -> LanguageModel:
    return LanguageModel(TableModel(["A", "B"], {"": [1, 2], "A": [0, 3], "B": [4, 0]}, back_off=True))


COLUMNS: dict[str, Any] = {
    "item": np.array([3, 1, 2], np.int8),
    "sentence": TEXTS,
    "before": ["A", None, ""],
    "x": [1.5, None, 2.0],
}


def arrow() -> pyarrow.Table:
    day = datetime.datetime(2026, 1, 2)
    genre = pyarrow.array(["a", "b", "a"]).dictionary_encode()
    return pyarrow.table(COLUMNS | {"genre": genre, "when": pyarrow.array([day, None, day], pyarrow.timestamp("ms"))})


def numbers(scores: Any) -> list[float]:
    return scores.logprob.tolist()


def test_pandas_keeps_types_and_index(lm: LanguageModel):
    frame = arrow().to_pandas().set_index(pandas.Index([7, 7, 5], name="row"))
    frame["flag"] = pandas.array([True, None, False], dtype="boolean")
    frame[0] = "a column whose name is a number"
    before = frame.copy(deep=True)
    both = lm.score_table(frame, "sentence", context="before")
    pandas.testing.assert_frame_equal(frame, before)
    pandas.testing.assert_frame_equal(both[list(frame.columns)], frame)
    assert list(both.columns)[: len(frame.columns) + 2] == [*frame.columns, "index", "logprob"]
    assert both["logprob"].tolist() == numbers(lm.score_batch(TEXTS, context=["A", None, ""]))
    assert both["index"].tolist() == [0, 1, 2]
    tokens = lm.score_table(frame, "sentence", per="token")
    assert tokens.index.tolist() == [7, 7, 7, 5, 5, 5]
    assert tokens["index"].tolist() == [0, 0, 1, 2, 2, 2]
    assert tokens["flag"].dtype == "boolean"
    assert tokens["token"].tolist() == list("ABBBBA")
    assert list(lm.score_table(frame, "sentence", id="item", per="token").columns)[:3] == ["item", "index", "place"]


class Subclass(pandas.DataFrame):
    @property
    def _constructor(self):
        return Subclass


def test_a_subclass_of_a_frame_stays_one(lm: LanguageModel):
    assert type(lm.score_table(Subclass(COLUMNS), "sentence")) is Subclass


def test_polars(lm: LanguageModel):
    frame = polars.from_arrow(arrow()).with_columns(polars.col("genre").cast(polars.Categorical))
    both = lm.score_table(frame, "sentence")
    assert both.select(frame.columns).equals(frame)
    assert both.select(frame.columns).schema == frame.schema
    assert both["logprob"].to_list() == numbers(lm.score_batch(TEXTS))
    tokens = lm.score_table(frame, "sentence", id="item", per="token")
    assert tokens.columns[:3] == ["item", "index", "place"]
    assert tokens["item"].to_list() == [3, 3, 1, 2, 2, 2]


@pytest.mark.parametrize("chunks", [1, 2])
def test_arrow(lm: LanguageModel, chunks: int):
    table = arrow() if chunks == 1 else pyarrow.concat_tables([arrow().slice(0, 1), arrow().slice(1)])
    both = lm.score_table(table, "sentence")
    assert both.select(table.column_names).equals(table)
    assert b"chainrule" in both.schema.metadata
    tokens = lm.score_table(table, "sentence", per="token")
    assert tokens.schema.field("item").type == pyarrow.int8()
    assert tokens["when"].to_pylist() == [table["when"][i].as_py() for i in (0, 0, 1, 2, 2, 2)]


@pytest.mark.parametrize("per", ["sequence", "token"])
def test_a_record_batch(lm: LanguageModel, per: str):
    batch = arrow().to_batches()[0]
    both = lm.score_table(batch, "sentence", per=per)
    assert isinstance(both, pyarrow.RecordBatch)
    assert both["logprob"].to_pylist() == lm.score_batch(TEXTS).to_arrow(per)["logprob"].to_pylist()


def test_several_orders(lm: LanguageModel):
    orders = ["left-to-right", "right-to-left"]
    mixtures, frame = lm.score_batch(TEXTS, order=orders), polars.DataFrame(COLUMNS)
    assert lm.score_table(frame, "sentence", order=orders)["logprob"].to_list() == numbers(mixtures)
    by_order = lm.score_table(frame, "sentence", order=orders, per="order")
    assert by_order["item"].to_list() == [3, 3, 1, 1, 2, 2]
    assert by_order["logprob"].to_list() == numbers(mixtures.scores)


@pytest.mark.parametrize("make", [pandas.DataFrame, polars.DataFrame, pyarrow.table, pyarrow.record_batch])
def test_a_table_without_rows(lm: LanguageModel, make: Any):
    empty = make({"text": pyarrow.array([], pyarrow.string())} if make.__module__.startswith("pyarrow") else {"text": []})
    both = lm.score_table(empty)
    assert "logprob" in list(getattr(both, "column_names", None) or both.columns)


def test_names_that_both_have(lm: LanguageModel):
    frame = pandas.DataFrame({"text": TEXTS, "logprob": ["mine"] * 3, "index": [9, 9, 9]})
    with pytest.warns(UserWarning, match="of our columns, index is index_chainrule, logprob is logprob_chainrule") as warned:
        both = lm.score_table(frame)
    assert warned[0].filename == __file__
    assert both["logprob"].tolist() == ["mine"] * 3
    assert both["index_chainrule"].tolist() == [0, 1, 2]
    assert both["logprob_chainrule"].tolist() == numbers(lm.score_batch(TEXTS))


def test_options_are_those_of_score_batch(lm: LanguageModel):
    both = lm.score_table(pandas.DataFrame({"text": TEXTS}), temperature=2.0, top=1, per="token")
    ours = lm.score_batch(TEXTS, temperature=2.0, top=1).to_pandas("token")
    pandas.testing.assert_frame_equal(both[list(ours.columns)].reset_index(drop=True), ours)


MISSING = pandas.DataFrame({"text": ["A", None, "B"], "id": [1.0, math.nan, 2.0], "n": [1, 2, 3]})


@pytest.mark.parametrize(
    ("frame", "options", "message"),
    [
        (MISSING, {"text": "sentence"}, "there is no column 'sentence' (text=); the columns are: text, id, n"),
        (MISSING, {"context": "before"}, "there is no column 'before' (context=); the columns are: text, id, n"),
        (MISSING, {"id": "item"}, "there is no column 'item' (id=); the columns are"),
        (MISSING, {}, "row 1 of the table: the text is missing (nan): remove the item"),
        (polars.from_pandas(MISSING), {}, "row 1 of the table: the text is missing (None)"),
        (pyarrow.Table.from_pandas(MISSING), {}, "row 1 of the table: the text is missing (None)"),
        (MISSING[::-1], {"id": "id"}, "row 1 of the table has nothing in the column 'id' (id=), so it has no key"),
        (pandas.DataFrame({"text": ["A", ""]}), {}, "row 1 of the table: an empty text has no token to score"),
        (pandas.DataFrame({"text": ["A", "B"]}), {"per": "word"}, "per must be one of 'sequence', 'token', not 'word'"),
        (
            pandas.DataFrame({"text": [1, 2]}),
            {},
            "row 0 of the table: expected a text, token ids or a pair of texts, not int (1)",
        ),
        (pandas.DataFrame([["A", "B"]], columns=["text", "text"]), {}, "there are 2 columns 'text' (text=)"),
        (pandas.DataFrame({("a", "b"): ["A"]}), {}, "the columns have 2 levels: join their names into one"),
        (polars.LazyFrame({"text": TEXTS}), {}, "must be a DataFrame of pandas or Polars, or an Arrow table, not LazyFrame"),
        (pandas.Series(TEXTS), {}, "or an Arrow table, not Series"),
        (
            {"text": TEXTS},
            {},
            "or an Arrow table, not dict ({'text': ['AB', 'B', 'BBA']}): for a list or one column, use score_b",
        ),
        (None, {}, "or an Arrow table, not NoneType (None)"),
    ],
)
def test_bad_input(lm: LanguageModel, frame: Any, options: dict[str, Any], message: str):
    with pytest.raises(InputError) as raised:
        lm.score_table(frame, **options)
    assert message in str(raised.value)
    assert raised.value.item == (int(message[4]) if message.startswith("row") and ":" in message[:20] else None)
