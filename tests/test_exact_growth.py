"""Many samples have the bits of scoring while they grow; what has not is scored behind the rows that have run already."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from model_zoo import V, tiny

from chainrule import InputError, LanguageModel, TableModel
from chainrule.engine.grove import MANY
from chainrule.growing import grow
from chainrule.native import build

COLUMNS = ("ids", "logprobs", "contexts", "ranks", "entropies", "top_ids", "top_logprobs")
NAMES = ["llama", "gemma2", "qwen3", "gpt2", "mistral", "gpt_neox"]


def same(found, wanted) -> bool:
    return all(np.array_equal(getattr(found, name), getattr(wanted, name)) for name in COLUMNS)


@pytest.fixture
def passes(monkeypatch) -> list[int]:
    """How many texts each scoring pass was made for."""
    made, score = [], grow.score_requests
    monkeypatch.setattr(
        grow, "score_requests", lambda e, t, requests, *a, **o: made.append(len(requests)) or score(e, t, requests, *a, **o)
    )
    return made


@pytest.mark.parametrize("prompt", [1, 7, 100])
@pytest.mark.parametrize("name", NAMES)
def test_grown_and_scored_have_the_same_bits(name, prompt, way, passes):
    lm = tiny(name).lm
    context = np.random.default_rng(prompt).integers(2, V, prompt).tolist()
    for samples in (MANY, 20):
        grown = lm.generate(context, method="sample", samples=samples, seed=samples, length=9, top=3)
        exact = bool(lm.invariant) and way == "native" and build.status().lanes >= 16
        assert passes == ([] if exact else [samples])
        passes.clear()
        for s in grown:
            wanted = lm.score(s.ids, context=context, top=3)
            assert same(s, wanted) if lm.invariant else np.allclose(s.logprobs, wanted.logprobs, atol=1e-4)
            assert s.invariant.holds == lm.invariant.holds


@pytest.mark.parametrize("prompt", [0, 1, 16, 100])
@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2", "mamba"])
def test_a_scoring_pass_behind_what_has_run(name, prompt, way, passes, monkeypatch):
    """Few texts: the context is not run again, and its last row alone is read again."""
    lm, rows = tiny(name).lm, []
    hidden = lm.model.hidden
    monkeypatch.setattr(lm.model, "hidden", lambda x, **o: rows.append(x.shape[0] * x.shape[1]) or hidden(x, **o))
    context = np.random.default_rng(prompt).integers(2, V, prompt).tolist()
    for options in ({"method": "greedy"}, {"method": "sample", "samples": 3, "seed": 1}, {"method": "beam", "samples": 2}):
        rows.clear()
        found = lm.generate(context, length=6, top=2, end=False, **options)
        found = found if isinstance(found, list) else [found]
        if name != "mamba":
            assert rows[-1] <= 6 * len(found) + 1  # of the scoring pass: none of the context but its last
        for s in found:
            wanted = lm.score(s.ids, context=context, top=2)
            assert same(s, wanted) if lm.invariant else np.allclose(s.logprobs, wanted.logprobs, atol=1e-4)
    assert passes == [1, 3, 2]


def test_a_context_longer_than_a_chunk(passes, monkeypatch):
    """The context runs in chunks of 16 rows, as it does when it is scored in such chunks."""
    monkeypatch.setattr("chainrule.engine.grove.ROWS", 16)
    lm, context = tiny("llama").lm, np.random.default_rng(0).integers(2, V, 77).tolist()
    for samples in (1, 30):
        for s in lm.generate(context, method="sample", samples=samples, seed=3, length=5):
            assert same(s, lm.score(s.ids, context=context)) or not lm.invariant


def test_a_mixture_of_experts_is_scored_once_more(passes):
    lm = tiny("gpt_oss").lm
    assert not lm.invariant
    for s in lm.generate([3, 4], method="sample", samples=12, seed=1, length=5):
        np.testing.assert_allclose(s.logprobs, lm.score(s.ids, context=[3, 4]).logprobs, atol=1e-4)
    assert passes == [12]


# -- a closed set


@pytest.fixture
def coin() -> LanguageModel:
    return LanguageModel(TableModel(["A", "B"], {"": [0.25, 0.75], "A": [1, 0], "B": [0.5, 0.5]}, probabilities=True))


def test_rank_within_the_set(coin):
    ranked = coin.rank("B", ["A", "B", "A"])
    assert [math.exp(r.logprob) for r in ranked] == pytest.approx([0.5, 0.5, 0.5])
    assert [math.exp(r.within_set) for r in ranked] == pytest.approx([0.5, 0.5, 0.5])  # A twice is one member of the set
    alone = coin.rank(None, ["AA", "BA"])
    assert [math.exp(r.within_set) for r in alone] == pytest.approx([0.375 / 0.625, 0.25 / 0.625])
    assert [r.within_set for r in coin.rank("A", ["B"])] == [-math.inf]


def test_one_of_a_closed_set(coin):
    best = coin.generate(among=["AA", "BA", "BB"])
    assert (best.text, best.finish) == ("BA", "among")
    assert math.exp(best.logprob) == pytest.approx(0.375)
    assert math.exp(best.altered_logprob) == pytest.approx(0.375)  # the set is all there is
    assert best.altered == "normalised within the set of 3 texts"
    assert [s.text for s in coin.generate(among=["AA", "BA"], samples=2, method="best")] == ["BA", "AA"]


def test_draws_from_a_closed_set(coin):
    drawn = coin.generate(among=["AA", "BA", "AA"], method="sample", samples=4000, seed=5)
    share = Counter(s.text for s in drawn)["BA"] / 4000
    assert abs(share - 0.6) < 4 * math.sqrt(0.24 / 4000)
    assert {s.text: round(math.exp(s.altered_logprob), 9) for s in drawn} == {"AA": 0.4, "BA": 0.6}
    cold = coin.generate(among=["AA", "BA"], method="sample", samples=50, seed=5, temperature=0.5)
    assert {round(math.exp(s.altered_logprob), 9) for s in cold} <= {round(p / 13, 9) for p in (4, 9)}
    assert cold[0].altered == "normalised within the set of 2 texts, temperature 0.5"
    again = coin.generate(among=["AA", "BA"], method="sample", seed=drawn[0].seed, samples=3)
    assert [s.text for s in again] == [s.text for s in coin.generate(among=["AA", "BA"], method="sample", seed=5, samples=3)]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"among": []}, "no text to choose among"),
        ({"among": ["AB"]}, "none of the texts to choose among is possible"),
        ({"among": ["AA", "BA"], "length": 3}, "length= has no use among a closed set"),
        ({"among": ["AA", "BA"], "method": "best", "samples": 3}, "3 different texts were asked for, and there are 2"),
        ({"among": "AA"}, "a list of candidates"),
    ],
)
def test_what_cannot_be_chosen_among(coin, options, says):
    with pytest.raises(InputError, match=says):
        coin.generate(**options)
