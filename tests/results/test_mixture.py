"""Several orders of one text: mean, spread, tables and displays."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import polars
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_zoo import tiny_any_order
from rich.console import Console

from chainrule import InputError, LanguageModel, Mixture, Mixtures
from chainrule.results.mixture import log_mean, spread

TEXTS = [[3, 50, 7], [11, 12], [9, 9, 9]]
ORDERS = ["left-to-right", "random:2", "right-to-left"]


@pytest.fixture(scope="module")
def lm() -> LanguageModel:
    return tiny_any_order("llama").lm


@pytest.fixture(scope="module")
def mixtures(lm: LanguageModel) -> Mixtures:
    mixtures = lm.score_batch(TEXTS, order=ORDERS, seed=4)
    assert isinstance(mixtures, Mixtures)
    return mixtures


def shown(result: object) -> str:
    console = Console(width=200, force_terminal=True, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(result)
    return console.export_text()


@given(st.lists(st.floats(-700, 0), min_size=1, max_size=9))
def test_the_mean_is_that_of_the_probabilities(logprobs: list[float]):
    assert log_mean(logprobs) == pytest.approx(math.log(math.fsum(map(math.exp, logprobs)) / len(logprobs)), abs=1e-12)
    assert spread(logprobs) == max(logprobs) - min(logprobs)
    assert min(logprobs) <= log_mean(logprobs) + 1e-12
    assert log_mean(logprobs) <= max(logprobs)
    assert log_mean(logprobs[:1] * 7) == logprobs[0]  # the same bits if all agree
    assert log_mean([p - 1e6 for p in logprobs]) == pytest.approx(log_mean(logprobs) - 1e6, abs=1e-9)  # no underflow


def test_impossible_texts():
    assert (log_mean([-math.inf] * 2), spread([-math.inf] * 2)) == (-math.inf, 0.0)  # the orders agree
    assert log_mean([-math.inf, -1.0]) == pytest.approx(-1 - math.log(2), abs=1e-15)
    assert spread([-math.inf, -1.0]) == math.inf


def test_a_mixture_is_its_scores(lm: LanguageModel, mixtures: Mixtures):
    assert (len(mixtures), mixtures.count, mixtures.logprobs.shape) == (3, 4, (3, 4))
    for i, mixture in enumerate(mixtures):
        assert [score.ids.tolist() for score in mixture] == [TEXTS[i]] * 4
        assert [lm.score(TEXTS[i], order=order).logprob for order in mixture.orders] == mixture.logprobs.tolist()
        assert mixture.logprobs.tolist() == mixtures.logprobs[i].tolist()
        assert (mixture.logprob, mixture.logprob_spread) == (mixtures.logprob[i], mixtures.logprob_spread[i])
        assert mixture.logprob == log_mean(mixture.logprobs)
        alone = lm.score(TEXTS[i], order=ORDERS, seed=4)
        assert isinstance(alone, Mixture)
        assert alone.logprobs.tolist() == mixture.logprobs.tolist()
    assert [o.tolist() for o in mixtures[0].orders[::3]] == [[0, 1, 2], [2, 1, 0]]
    assert len(mixtures[-1]) == 4
    assert [m.logprob for m in mixtures[1:]] == mixtures.logprob[1:].tolist()
    with pytest.raises(IndexError):
        mixtures[3]


def test_one_order_in_a_list_is_a_mixture_of_one(lm: LanguageModel):
    mixture = lm.score(TEXTS[0], order=[(2, 0, 1)])
    assert isinstance(mixture, Mixture)
    assert (mixture.logprob, mixture.logprob_spread) == (lm.score(TEXTS[0], order=(2, 0, 1)).logprob, 0.0)


def test_orders_of_one_token_are_the_same(lm: LanguageModel):
    mixture = lm.score([7], order="random:5")
    assert (len(mixture), mixture.logprob_spread, mixture.logprob) == (5, 0.0, lm.score([7]).logprob)


def test_no_texts(lm: LanguageModel):
    empty = lm.score_batch([], order="random:2")
    assert (len(empty), empty.logprob.tolist(), list(empty), empty.to_json()) == (0, [], [], "[]")
    assert empty.to_arrow().num_rows == 0
    assert "Mixtures(0 texts" in repr(empty)


def test_tables(mixtures: Mixtures):
    rows = mixtures.to_dicts()
    assert [row["index"] for row in rows] == [0, 1, 2]
    for row, mixture in zip(rows, mixtures, strict=True):
        assert (row["logprob"], row["logprob_spread"], row["bits"]) == (mixture.logprob, mixture.logprob_spread, mixture.bits)
        assert row["logprobs"] == mixture.logprobs.tolist()
        assert row["orders"] == [order.tolist() for order in mixture.orders]
        assert (row["tokens"], row["kind"], row["start_id"], row["end_id"]) == (len(mixture[0]), "joint", 0, None)
    orders = mixtures.to_dicts("order")
    assert [(row["index"], row["nth_order"]) for row in orders] == [(i, k) for i in range(3) for k in range(4)]
    assert [row["logprob"] for row in orders] == mixtures.logprobs.ravel().tolist()
    tokens = mixtures.to_dicts("token")
    expected = [(i, k, t) for i, m in enumerate(mixtures) for k, score in enumerate(m) for t in range(len(score))]
    assert [(row["index"], row["nth_order"], row["place"]) for row in tokens] == expected
    assert [row["logprob"] for row in tokens] == mixtures.scores.logprobs.tolist()
    with pytest.raises(InputError, match="per must be one of 'text', 'order', 'token', not 'sequence'"):
        mixtures.to_arrow("sequence")


@pytest.mark.parametrize("per", ["text", "order", "token"])
def test_files_and_frames(mixtures: Mixtures, tmp_path: Path, per: str):
    expected = mixtures.to_arrow(per)
    mixtures.write(str(tmp_path / "m.parquet"), per)
    assert pyarrow.parquet.read_table(tmp_path / "m.parquet").equals(expected)
    mixtures.write(str(tmp_path / "m.csv"), per)
    with (tmp_path / "m.csv").open() as stream:
        assert [float(row["logprob"]) for row in csv.DictReader(stream)] == expected["logprob"].to_pylist()
    mixtures.write(str(tmp_path / "m.jsonl"), per)
    assert [json.loads(line) for line in (tmp_path / "m.jsonl").read_text().splitlines()] == expected.to_pylist()
    assert mixtures.to_polars(per).to_arrow().to_pydict() == expected.to_pydict()
    assert mixtures.to_pandas(per).columns.tolist() == expected.column_names
    assert polars.DataFrame(mixtures)["logprob"].to_list() == mixtures.logprob.tolist()


def test_as_json(mixtures: Mixtures):
    items = json.loads(mixtures.to_json(), parse_constant=pytest.fail)
    for mixture, item in zip(mixtures, items, strict=True):
        assert (item["logprob"], item["logprob_spread"]) == (mixture.logprob, mixture.logprob_spread)
        assert [score["logprob"] for score in item["scores"]] == item["logprobs"] == mixture.logprobs.tolist()
        assert "scores" not in mixture.summary()


def test_displays(lm: LanguageModel, mixtures: Mixtures):
    mixture = mixtures[0]
    spread = f"spread {mixture.logprob_spread:.3g} nats"
    assert repr(mixture) == f"Mixture(log Pr = {mixture.logprob:.6f} nats over 4 orders, {spread}, {mixture[0].label})"
    assert repr(mixtures) == f"Mixtures(3 texts in 4 orders each, spread up to {mixtures.logprob_spread.max():.3g} nats)"
    output = shown(mixture)
    assert all(f"{score.logprob:.6f}" in output for score in mixture)
    assert "0, 1, 2" in output
    assert (
        output.index("log of mean Pr") < output.index(f"{mixture.logprob:.6f}") < output.index(f"{mixture.logprob_spread:.3g}")
    )
    assert "the length (3 tokens) is given" in output
    assert all(f"{m.logprob:.6f}" in shown(mixtures) and f"{m.logprob:.6f}" in mixtures._repr_html_() for m in mixtures)
    assert "the mean over 4 orders" in mixture._repr_html_()
    many = lm.score([7, 8, 9], order="random:25")
    assert "20 of 25 orders" in shown(many)
    assert "20 of 25 orders" in many._repr_html_()
    assert "20 of 21 texts" in shown(lm.score_batch([[7, 8]] * 21, order="random:2"))
    assert "order 2, 1, 0" in shown(mixture[3])
