"""User arguments: sequences of texts of any type are read by position, and other values raise an InputError."""

from __future__ import annotations

import array
import decimal
import math
import sys
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import polars
import pyarrow
import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import arguments

from chainrule import LanguageModel, TableModel
from chainrule.errors import InputError
from chainrule.verify import checks

TEXTS = ["AB", "B", "BBA"]


@pytest.fixture
def lm() -> LanguageModel:
    return LanguageModel(TableModel(["A", "B"], {"": [1, 2], "A": [0, 3], "B": [4, 0]}, back_off=True))


SEQUENCES = {
    "list": list,
    "tuple": tuple,
    "deque": deque,
    "generator": lambda items: (item for item in items),
    "map": lambda items: map(str, items),
    "values of a dict": lambda items: dict(zip("zyx", items, strict=True)).values(),
    "NumPy strings": np.array,
    "NumPy objects": lambda items: np.array(items, object),
    "NumPy's own strings": lambda items: np.array(items, np.dtypes.StringDType()),
    "a list of NumPy strings": lambda items: [np.str_(item) for item in items],
    "pandas": lambda items: pandas.Series(items, index=[2, 0, 1]),
    "pandas, reversed index": lambda items: pandas.Series(items[::-1])[::-1],
    "pandas objects": lambda items: pandas.Series(items, index=[9, 9, 9], dtype=object),
    "pandas categories": lambda items: pandas.Series(items, index=["c", "a", "b"], dtype="category"),
    "pandas of Arrow": lambda items: pandas.Series(items, index=[1, 2, 0], dtype=pandas.ArrowDtype(pyarrow.string())),
    "pandas index": pandas.Index,
    "pandas array": pandas.array,
    "Polars": polars.Series,
    "Arrow": pyarrow.array,
    "Arrow dictionary": lambda items: pyarrow.array(items).dictionary_encode(),
    "large Arrow": lambda items: pyarrow.array(items, pyarrow.large_string()),
    "Arrow views": lambda items: pyarrow.array(items, pyarrow.string_view()),
    "Polars categories": lambda items: polars.Series(items, dtype=polars.Categorical),
    "Arrow chunks": lambda items: pyarrow.chunked_array([items[:1], items[1:]]),
}


@pytest.mark.parametrize("kind", SEQUENCES)
def test_sequences_are_read_by_position(lm: LanguageModel, kind: str, monkeypatch: pytest.MonkeyPatch):
    wanted = lm.score_batch(TEXTS)
    make = SEQUENCES[kind]
    scores = lm.score_batch(make(TEXTS))
    assert scores.logprob.tolist() == wanted.logprob.tolist()
    assert [(type(score.text), score.text) for score in scores] == [(str, text) for text in TEXTS]
    after = lm.score_batch(TEXTS, context=make(["A", "B", "A"]))
    assert after.logprob.tolist() == lm.score_batch(TEXTS, context=["A", "B", "A"]).logprob.tolist()
    assert [(r.index, r.text, r.logprob) for r in lm.rank("A", make(TEXTS))] == [
        (r.index, r.text, r.logprob) for r in lm.rank("A", TEXTS)
    ]
    assert lm.pseudo_log_likelihoods(make(TEXTS))[2].pll_nats == lm.pseudo_log_likelihood(TEXTS[2]).pll_nats
    among = lm.generate("A", among=make(TEXTS))
    assert among.text == lm.rank("A", TEXTS)[0].text
    assert lm.generate(stop=make(["BA", "AA", "X"]), max_tokens=3, method="sample", seed=1).text
    checked: list[list[str]] = []
    monkeypatch.setattr(checks, "verify", lambda lm, texts, progress: checked.append(list(texts)))
    lm.verify(make(["ABBA", "BA", "AB"]))
    assert checked == [["ABBA", "BA", "AB"]]


@pytest.mark.parametrize("kind", ["pandas", "Arrow", "values of a dict"])
def test_verify_on_other_sequences_than_lists(lm: LanguageModel, kind: str):
    lm.verify(SEQUENCES[kind](["ABBA", "BA", "AB"]))


IDS = {
    "list": list,
    "tuple": tuple,
    "NumPy": np.array,
    "NumPy bytes": lambda ids: np.array(ids, np.uint8),
    "NumPy objects": lambda ids: np.array(ids, np.int64),
    "tensor": torch.tensor,
    "narrow tensor": lambda ids: torch.tensor(ids, dtype=torch.int32),
}


@pytest.mark.parametrize("kind", IDS)
def test_ids_of_any_integer_type(lm: LanguageModel, kind: str):
    make = IDS[kind]
    wanted = lm.score("ABB")
    assert lm.score(make([0, 1, 1])).logprobs.tolist() == wanted.logprobs.tolist()
    assert lm.score_batch([make([0, 1, 1]), make([0])])[0].logprobs.tolist() == wanted.logprobs.tolist()
    assert lm.score([1], context=make([0, 1])).logprobs.tolist() == wanted.logprobs.tolist()[2:]
    assert lm.score_batch([[1], [1]], context=make([0, 1])).logprob.tolist() == wanted.logprobs.tolist()[2:] * 2
    assert lm.conditional(make([0, 1])).logprob(1) == wanted.logprobs[2]
    assert lm.generate(make([0]), max_tokens=1).logprob == lm.generate("A", max_tokens=1).logprob
    assert lm.embed(make([0, 1])).tolist() == lm.embed([0, 1]).tolist()


def test_rows_of_an_array_are_sequences_of_ids(lm: LanguageModel):
    rows = [[0, 1], [1, 1]]
    for array_rows in (np.array(rows), torch.tensor(rows)):
        assert lm.score_batch(array_rows).logprob.tolist() == lm.score_batch(rows).logprob.tolist()
        assert lm.score_batch(rows, context=array_rows).logprob.tolist() == lm.score_batch(rows, context=rows).logprob.tolist()
    assert lm.score_batch(pyarrow.array(rows)).logprob.tolist() == lm.score_batch(rows).logprob.tolist()


@pytest.mark.parametrize("missing", [None, math.nan, np.float32("nan"), pandas.NA, pandas.NaT, np.datetime64("NaT")])
def test_a_missing_text_is_an_error_and_a_missing_context_is_no_context(lm: LanguageModel, missing: Any):
    with pytest.raises(InputError, match="item 1: the text is missing") as error:
        lm.score_batch(["A", missing])
    assert error.value.item == 1
    with pytest.raises(InputError, match="item 1: the text is missing"):
        lm.score_batch(pandas.Series(["A", missing, "B"], dtype=object))
    scores = lm.score_batch(["A", "A"], context=["B", missing])
    assert scores.logprob.tolist() == [lm.score("A", context="B").logprob, lm.score("A").logprob]


FRAMES = [pandas.DataFrame({"A": TEXTS}), polars.DataFrame({"A": TEXTS}), pyarrow.table({"A": TEXTS}), polars.LazyFrame()]
NO_SEQUENCES = {
    "a text": "AB",
    "bytes": b"AB",
    "bytearray": bytearray(b"\0\1"),
    "memoryview": memoryview(b"\0\1"),
    "array": array.array("q", [0, 1]),
    "dict": {"A": 1, "B": 2},
    "set": {"A", "B"},
    "frozenset": frozenset("AB"),
    "None": None,
    "a number": 5,
    "NaN": math.nan,
    "a path": Path("A"),
    "an array of no dimension": np.array("AB"),
    "a masked array": np.ma.array(["A", "B"], mask=[True, False]),
    **{f"a {type(frame).__module__.partition('.')[0]} {type(frame).__name__}": frame for frame in FRAMES},
}


@pytest.mark.parametrize("kind", NO_SEQUENCES)
def test_values_that_are_not_sequences_of_texts(lm: LanguageModel, kind: str):
    value = NO_SEQUENCES[kind]
    calls = [lm.score_batch, lambda v: lm.rank("A", v), lm.pseudo_log_likelihoods]
    calls += [lambda v: lm.score_batch(["A", "B"], context=v)] if kind not in ("a text", "None", "NaN") else []
    calls += [lm.verify, lambda v: lm.generate(among=v)] if value is not None else []
    calls += [lambda v: lm.generate(stop=v, max_tokens=3)] if kind != "a text" else []
    for call in calls:
        with pytest.raises(InputError) as error:
            call(value)
        assert "\n" not in str(error.value)
        assert len(str(error.value)) < 250


NO_ITEMS = {
    "bytes": b"AB",
    "bytearray": bytearray(b"\0\1"),
    "memoryview": memoryview(b"\0\1"),
    "array": array.array("q", [0, 1]),
    "dict": {"A": 1},
    "set": {0, 1},
    "a number": 5,
    "a Decimal": decimal.Decimal(1),
    "a path": Path("A"),
    "a generator": (i for i in (0, 1)),
    "pandas": pandas.Series([0, 1]),
    "pandas texts": pandas.Series(["A", "B"]),
    "Polars": polars.Series([0, 1]),
    "Arrow": pyarrow.array([0, 1]),
    "Arrow scalar": pyarrow.scalar("A"),
    "a list of texts": ["A", "B"],
    "floats": [0.0, 1.0],
    "bools": [True, False],
    "a bool among ids": [True, 1],
    "a float tensor": torch.ones(2),
    "a bfloat16 tensor": torch.ones(2, dtype=torch.bfloat16),
    "a masked array": np.ma.array([0, 1], mask=[True, False]),
    "ids in two dimensions": np.zeros((2, 2), int),
    "dates": np.array(["2020-01-01"], "datetime64[D]"),
    "huge": [10**30],
    **{f"a {type(frame).__module__.partition('.')[0]} {type(frame).__name__}": frame for frame in FRAMES},
}


@pytest.mark.parametrize("kind", NO_ITEMS)
def test_values_that_are_neither_texts_nor_ids(lm: LanguageModel, kind: str):
    value = NO_ITEMS[kind]
    calls = [lm.score, lambda v: lm.score("A", context=v), lambda v: lm.rank(v, ["A"]), lm.conditional, lm.explain, lm.generate]
    calls += [lm.pseudo_log_likelihood, lambda v: lm.score_batch([v]), lm.infill, lambda v: lm.generate(v, among=["A"])]
    for call in calls:
        with pytest.raises(InputError) as error:
            call(value)
        assert "\n" not in str(error.value)
        assert len(str(error.value)) < 250


def test_the_error_for_a_list_instead_of_a_text_names_score_batch(lm: LanguageModel):
    with pytest.raises(InputError, match=r"expected one text, not a list of texts .*; score_batch takes a list"):
        lm.score(["A", "B"])
    with pytest.raises(InputError, match="expected one text, not a Series of texts: use score_batch"):
        lm.score(pandas.Series(["A"]))
    with pytest.raises(InputError, match="select one, such as"):
        lm.score_batch(FRAMES[0])


@pytest.mark.parametrize("order", [b"\0\1", bytearray(b"\1\0"), memoryview(b"\1\0"), {0, 1}, {0: 1}, [0.0, 1.0], "ab"])
def test_values_that_are_not_orders(lm: LanguageModel, order: Any):
    with pytest.raises(InputError, match="order"):
        lm.score("AB", order=order)


def test_orders_are_read_by_position(lm: LanguageModel):
    wanted = lm.score("ABB", order=[2, 0, 1]).logprobs.tolist()
    for make in (tuple, np.array, torch.tensor, lambda o: pandas.Series(o, index=[2, 1, 0]), polars.Series, pyarrow.array):
        assert lm.score("ABB", order=make([2, 0, 1])).logprobs.tolist() == wanted


def test_extreme_numbers(lm: LanguageModel):
    for temperature in (5e-324, 1e-300, 1e308):
        texts = lm.generate(method="sample", temperature=temperature, n=3, max_tokens=4, seed=1)
        assert all(np.isfinite(g.sampling_logprob) for g in texts)
    cold = lm.generate(method="sample", temperature=5e-324, max_tokens=4, seed=1)
    assert (cold.text, cold.sampling_logprob) == (lm.generate(max_tokens=4).text, 0.0)
    for stop in (["\ud800"], "a\udfff"):
        with pytest.raises(InputError, match="surrogate"):
            lm.generate(stop=stop)
    for name in ("max_tokens", "n", "seed", "top_k"):
        with pytest.raises(InputError, match=f"{name} must be a whole number up to"):
            lm.generate(**{"method": "sample", "max_tokens": 2, "seed": 1} | {name: 10**30})
    with pytest.raises(InputError, match="stride=2 needs windows, and window=False allows none"):
        lm.score("AB", window=False, stride=2)


def test_any_argument_is_accepted_or_refused_with_a_one_line_error():
    """A short form of benchmarks/arguments.py, which runs twenty times as many cases."""
    counts, failures = arguments.trial(330)
    assert failures == []
    assert any(count["taken"] for count in counts.values())  # some arguments are valid
