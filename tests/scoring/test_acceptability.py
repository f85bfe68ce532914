"""Measures of acceptability: the published formulas, and unigram distributions from corpora and tables."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import text_zoo

from chainrule import InputError, LanguageModel, TableModel
from chainrule.results.acceptability import mean_lp, norm_lp, pen_lp, slor
from chainrule.scoring.unigram import unigram_of

ROWS = {"": [0.5, 0.3, 0.2], "A": [0.2, 0.5, 0.3], "B": [0.25, 0.25, 0.5]}


@pytest.fixture(scope="module")
def lm() -> LanguageModel:
    return LanguageModel(TableModel("ABC", ROWS, probabilities=True, back_off=True, end="C"))


def unigram(lm: LanguageModel, source: Any, end: int | None = None) -> list[float]:
    return np.exp(unigram_of(source, lm.tokenizer, 3, end).logprobs).tolist()


def test_the_published_formulas():
    assert mean_lp(-20.0, 5) == -4.0
    assert pen_lp(-20.0, 5) == pytest.approx(-13.2907961, abs=5e-8)
    assert norm_lp(-20.0, -40.0) == -0.5
    assert slor(-20.0, -40.0, 5) == 4.0


def test_measures_by_hand(lm: LanguageModel):
    result = lm.acceptability(["AB", "C"], unigram={"A": 6, "B": 2, "C": 0})  # 7/11, 3/11, 1/11
    lp, lpu = [math.log(0.25), math.log(0.2)], [math.log(21 / 121), math.log(1 / 11)]
    rows = result.to_dicts()
    assert [row["logprob"] for row in rows] == lm.score_batch(["AB", "C"]).logprob.tolist() == pytest.approx(lp)
    assert [row["mean_lp_nats"] for row in rows] == pytest.approx([lp[0] / 2, lp[1]])
    assert [row["pen_lp_nats"] for row in rows] == pytest.approx([lp[0] / (7 / 6) ** 0.8, lp[1]])
    assert [row["unigram_logprob"] for row in rows] == pytest.approx(lpu)
    assert [row["norm_lp"] for row in rows] == pytest.approx([-lp[0] / lpu[0], -lp[1] / lpu[1]])
    assert [row["slor_nats"] for row in rows] == pytest.approx([(lp[0] - lpu[0]) / 2, lp[1] - lpu[1]])
    assert not {"pmi_nats", "logprob_alone"} & rows[0].keys()
    assert json.loads(result.to_json()) == rows
    for item, row in zip(result, rows, strict=True):
        assert item.summary().items() <= row.items()
        assert (item.slor_nats, item.pmi_nats) == (row["slor_nats"], None)
        assert item.to_dict()["norm_lp"] == row["norm_lp"]


def test_columns_that_need_more_are_left_out(lm: LanguageModel):
    result = lm.acceptability(["AB"])
    assert not {"unigram_logprob", "norm_lp", "slor_nats", "pmi_nats"} & result.to_dicts()[0].keys()
    assert (result.slor_nats, result.norm_lp, result.pmi_nats) == (None, None, None)


def test_pmi_is_of_the_same_tokens(lm: LanguageModel, tiny: LanguageModel):
    result = lm.acceptability(["B", "C", "B"], context=["A", None, ""])
    assert result.pmi_nats[0] == pytest.approx(math.log(0.5 / 0.3))
    assert [row["pmi_nats"] is None for row in result.to_dicts()] == [False, True, True]
    apart = tiny.acceptability(["e quick"], context="Th")  # tokenised apart from its context
    ids = tiny.score("e quick", context="Th").ids
    assert apart.pmi_nats[0] == tiny.score("e quick", context="Th").logprob - tiny.score(ids.tolist()).logprob
    with pytest.raises(InputError, match="start symbol"):
        lm.acceptability(["BA"], context="A", start="given")


def test_a_corpus_is_counted_and_smoothed(lm: LanguageModel, tmp_path: Path):
    lines = ["AAB", "", "A"]
    assert unigram(lm, lines) == pytest.approx([4 / 7, 2 / 7, 1 / 7])
    assert unigram(lm, lines, end=2) == pytest.approx([4 / 9, 2 / 9, 3 / 9])  # one end after each of the two texts
    (tmp_path / "c.txt").write_bytes(b"AAB\r\n\r\nA\n")
    (tmp_path / "c.txt.gz").write_bytes(gzip.compress(b"AAB\n\nA"))
    for name in ("c.txt", "c.txt.gz"):
        assert unigram(lm, tmp_path / name) == unigram(lm, lines)


def test_the_end_symbol_is_a_token(lm: LanguageModel):
    result = lm.acceptability(["A"], unigram=["AAB", "A"], end=True)
    assert result.unigram_logprob[0] == pytest.approx(math.log(4 / 9) + math.log(3 / 9))
    assert result.mean_lp_nats[0] == lm.score("A", end=True).logprob / 2


def test_tables(lm: LanguageModel, tmp_path: Path):
    expected = [4 / 7, 2 / 7, 1 / 7]
    (tmp_path / "t.csv").write_text("token,count\nA,3\nB,1\n", encoding="utf-8")
    (tmp_path / "i.tsv").write_text("id\tcount\n0\t3\n1\t1\n", encoding="utf-8")
    (tmp_path / "t.json").write_text('{"A": 3, "B": 1}', encoding="utf-8")
    for source in ({"A": 3, 1: 1}, [3, 1, 0], np.array([3, 1, 0]), *(tmp_path / n for n in ("t.csv", "i.tsv", "t.json"))):
        assert unigram(lm, source) == pytest.approx(expected)
    assert unigram(lm, {"A": 0.25, "B": 0.75}) == pytest.approx([0.25, 0.75, 0])
    (tmp_path / "p.csv").write_text("token,probability\nA,.25\nB,.75\n", encoding="utf-8")
    assert unigram(lm, tmp_path / "p.csv") == pytest.approx([0.25, 0.75, 0])


def test_a_token_without_a_probability_is_an_error(lm: LanguageModel):
    with pytest.raises(InputError, match=r"item 1: the unigram distribution has no probability for the token 'C' \(id 2\)"):
        lm.acceptability(["A", "AC"], unigram={"A": 0.25, "B": 0.75})


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({}, "is empty"),
        ([], "must be a file"),
        ([1, 2], "one number for each of the 3 ids, not 2 items"),
        ([""], "has no text"),
        ({"X": 1}, "names 'X', which is no token or id"),
        ({3: 1}, "names 3, which is no token or id"),
        ({"A": 1, 0: 1}, "twice"),
        ({"A": -1}, "must be a number of 0 or more, not -1"),
        ({"A": 0.5, "B": 0.2}, "these sum to 0.7"),
        ({"A": math.nan}, "0 or more, not nan"),
        ("missing.txt", "cannot read missing.txt"),
        ("words.parquet", "cannot use words.parquet"),
    ],
)
def test_bad_distributions(lm: LanguageModel, source: Any, message: str):
    with pytest.raises(InputError, match=message):
        lm.acceptability(["A"], unigram=source)


@pytest.mark.parametrize(
    ("name", "raw", "message"),
    [
        ("a.csv", b"word,n\nA,1\n", "must have a column token or id, .* the columns are: word, n"),
        ("a.csv", b"token,count\nA,many\n", "row 2 of .*a.csv is no token with a count"),
        ("a.csv", b"token,count\nA,1\nA,2\n", "row 3 of .*: the token 'A' occurs twice"),
        ("a.json", b"[1]", "must be a JSON object"),
        ("a.json", b"{", "not valid JSON"),
        ("a.txt", b"A\n\xff\n", "line 2 of .*a.txt is not UTF-8: byte 0xff"),
        ("a.txt", b"\n\n", "has no text"),
    ],
)
def test_bad_files(lm: LanguageModel, tmp_path: Path, name: str, raw: bytes, message: str):
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(InputError, match=message):
        lm.acceptability(["A"], unigram=tmp_path / name)


def test_of_two_tokens_with_one_name_the_one_of_texts_is_meant():
    """With byte fallback, "!" names a token and the byte 0x21."""
    tokenizer = text_zoo.LOSSLESS["llama"]()
    byte, token = [id for id in tokenizer.known_ids.tolist() if tokenizer.token(id) == "!"]
    logprob_V = unigram_of({"!": 7}, tokenizer, tokenizer.size, None).logprobs
    assert logprob_V[token] > logprob_V[byte] == logprob_V.min()


def test_a_distribution_is_computed_once(lm: LanguageModel, tiny: LanguageModel):
    once = lm.unigram(["AAB"], end=True)
    assert once is lm.unigram(once)
    assert np.exp(once.logprobs) == pytest.approx([3 / 7, 2 / 7, 2 / 7])
    result = lm.acceptability(["AB"], unigram=once)
    assert result.unigram_logprob[0] == pytest.approx(math.log(6 / 49))
    with pytest.raises(InputError, match="over 3 token ids, but the model has"):
        tiny.acceptability(["a"], unigram=once)
