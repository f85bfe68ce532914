"""Beam search and best-first search against exhaustive search."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_zoo import tiny as tiny_model
from random_tables import all_continuations, random_table, spelled

from chainrule import LanguageModel, TableModel

FLOAT32 = 2e-5  # nats, as in test_engine


# Two decoding cases of the course


def test_sums_of_logits_do_not_rank_texts(abc):
    """The logits of AA sum to 10 and those of BB to 16, but AA is more probable."""
    assert abc.score("AA").logprob == pytest.approx(-1.411907, abs=1e-6)
    assert abc.score("BB").logprob == pytest.approx(-2.626802, abs=1e-6)
    assert abc.generate(method="best", max_tokens=2).text == abc.generate(max_tokens=2).text == "AA"


def test_greedy_may_miss_the_most_probable_text():
    lm = LanguageModel(TableModel(["A", "B"], {"": [0, 0], "A": [10, 0], "B": [1, 1]}))
    best = lm.generate(method="best", max_tokens=2, n=4)
    assert [s.text for s in best] == ["AA", "BA", "BB", "AB"]
    assert best[0].logprob == pytest.approx(-0.693193, abs=1e-6)
    assert best[1].logprob == pytest.approx(-1.386294, abs=1e-6)
    assert best[0].certificate.certain
    lm = LanguageModel(TableModel(["A", "B"], {"": [0.1, 0], "A": [1, 1], "B": [10, 0]}))
    assert lm.generate(max_tokens=2).text == "AA"
    beam = lm.generate(method="beam", num_beams=2, max_tokens=2)
    assert lm.generate(method="best", max_tokens=2).text == beam.text == "BA"


# Searches


@given(st.integers(0, 10**6), st.booleans(), st.integers(1, 4), st.integers(1, 12))
def test_beam_and_best_agree_with_exhaustive_search(seed, end, length, count):
    lm = random_table(seed, end=end)
    expected = sorted(all_continuations(lm, length).items(), key=lambda item: -item[1])[:count]
    for options in ({"method": "best"}, {"method": "best", "num_beams": 1}, {"method": "beam", "num_beams": 3**length}):
        texts = lm.generate(max_tokens=length, n=count, **options)
        assert [spelled(s) for s in texts] == [text for text, _ in expected]
        np.testing.assert_allclose([s.logprob for s in texts], [p for _, p in expected], rtol=0, atol=1e-12)
        assert all(s.certificate.certain for s in texts if s.certificate)


@pytest.mark.parametrize("name", ["llama", "gpt2", "mamba"])
def test_best_of_a_network_is_the_most_probable_of_all_texts(name):
    lm = tiny_model(name).lm
    scores = lm.score_batch(list(product(range(61), repeat=2)), context=[3, 5])
    best = lm.generate([3, 5], method="best", max_tokens=2, end=False, n=5)
    order = np.argsort(-scores.logprob)[:5]
    np.testing.assert_allclose([s.logprob for s in best], scores.logprob[order], rtol=0, atol=2 * FLOAT32)  # two factors
    assert best[0].ids.tolist() == scores[int(order[0])].ids.tolist()
    assert best[0].certificate.certain


def test_a_search_that_reaches_its_budget_gives_a_bound():
    lm = random_table(3, length=8, scale=0.1)
    most = max(all_continuations(lm, 8).values())
    partial = lm.generate(method="best", max_tokens=8, num_beams=1, budget=40)
    certificate = partial.certificate
    assert (certificate.certain, certificate.contexts) == (False, 40)
    assert partial.logprob <= most <= certificate.logprob_bound
    assert "not proven" in partial.describe()
    full = lm.generate(method="best", max_tokens=8, num_beams=1, budget=10_000)
    assert full.certificate.certain
    assert full.logprob == pytest.approx(most, abs=1e-12)
    assert "none is more probable" in full.describe()


def test_searches_omit_impossible_texts():
    lm = LanguageModel(TableModel(["A", "B"], {"": [0.5, 0.5], "A": [1, 0], "B": [0, 1]}, probabilities=True))
    for method in ("best", "beam"):
        texts = lm.generate(method=method, max_tokens=2, n=4)
        assert sorted(s.text for s in texts) == ["AA", "BB"]


@pytest.mark.parametrize("method", ["beam", "best"])
@pytest.mark.parametrize("count", [1, 3])
def test_a_single_token_of_a_network(method, count):
    """No node is added to the tree, whose numbers are then exact, but a search keeps no statistics of them."""
    lm = tiny_model("llama").lm
    texts = lm.generate([3, 5], method=method, max_tokens=1, n=count, top=2)
    want = lm.conditional([3, 5]).top(count)
    assert [(text.ids.tolist(), text.logprob) for text in texts] == [([a.id], a.logprob) for a in want]
