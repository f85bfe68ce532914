"""Samples against the probabilities of a table, and altered distributions against their definitions."""

from __future__ import annotations

import math
from collections import Counter
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracle import log_softmax
from random_tables import all_continuations, random_table, spelled

from chainrule.generation.transform import Transform

# Samples


def chi_square(counts: Counter, expected: dict[str, float], draws: int) -> float:
    assert set(counts) <= {key for key, p in expected.items() if p > 0}
    return sum((counts[key] - draws * p) ** 2 / (draws * p) for key, p in expected.items() if p > 0)


@pytest.mark.parametrize("end", [False, True])
def test_samples_have_the_frequencies_of_the_table(end):
    lm, draws = random_table(5, end=end), 20_000
    expected = {text: math.exp(p) for text, p in all_continuations(lm, 3).items()}
    counts = Counter(spelled(s) for s in lm.generate(method="sample", max_tokens=3, n=draws, seed=1))
    degrees = len(expected) - 1
    assert chi_square(counts, expected, draws) < degrees + 3.3 * math.sqrt(2 * degrees)  # exceeded once in a thousand


def test_altered_samples_have_the_frequencies_of_the_altered_table():
    lm, draws = random_table(6), 10_000
    options = {"temperature": 0.7, "top_k": 2}
    rows = {c: log_softmax(row / 0.7) for c, row in lm.model.rows.items()}

    def two_most_probable(row):
        return log_softmax(np.where(row >= np.sort(row)[-2], row, -np.inf))

    expected = {}
    for text in map("".join, product("ABC", repeat=2)):
        a, b = ("ABC".index(c) for c in text)
        expected[text] = math.exp(two_most_probable(rows[()])[a] + two_most_probable(rows[(a,)])[b])
    samples = lm.generate(method="sample", max_tokens=2, n=draws, seed=2, **options)
    assert chi_square(Counter(s.text for s in samples), expected, draws) < 3 + 3.3 * math.sqrt(6)
    for s in samples[:50]:
        assert s.sampling_logprob == pytest.approx(math.log(expected[s.text]), abs=1e-12)
        assert s.logprob == pytest.approx(lm.score(s.text).logprob, abs=0)
        assert s.sampling == "temperature 0.7, top_k 2"


def test_a_sample_does_not_depend_on_the_number_of_samples(monkeypatch):
    lm = random_table(7)
    many = lm.generate(method="sample", max_tokens=4, n=40, seed=9)
    assert [s.text for s in lm.generate(method="sample", max_tokens=4, n=5, seed=9)] == [s.text for s in many[:5]]
    monkeypatch.setattr("chainrule.generation.sampling.GROUP", 7)
    assert [s.text for s in lm.generate(method="sample", max_tokens=4, n=40, seed=9)] == [s.text for s in many]
    assert len({s.text for s in many}) > 5
    unseeded = lm.generate(method="sample", max_tokens=4)
    assert lm.generate(method="sample", max_tokens=4, seed=unseeded.seed).text == unseeded.text


def test_samples_with_the_same_tokens_share_rows(monkeypatch):
    lm, rows = random_table(8), []
    hidden = lm.model.hidden
    monkeypatch.setattr(lm.model, "hidden", lambda x, **o: rows.append(len(x)) or hidden(x, **o))
    samples = lm.generate(method="sample", max_tokens=3, n=500, seed=1)
    assert len(samples) == 500
    assert max(rows[:-1]) <= 9  # contexts of two tokens; the last call scores the samples


# Altered distributions against their definitions


def by_definition(p: np.ndarray, t: float, k: int | None, top_p: float | None, min_p: float | None) -> np.ndarray:
    q = p ** (1 / t) / (p ** (1 / t)).sum()
    order = np.argsort(-q, kind="stable")
    keep = np.zeros(len(p), bool)
    keep[order[: k or len(p)]] = True
    q = np.where(keep, q, 0) / q[keep].sum()
    if top_p is not None:
        count = 1 + int((np.cumsum(q[order]) < top_p - 1e-12).sum())
        keep[order[count:]] = False
        q = np.where(keep, q, 0) / q[keep].sum()
    if min_p is not None:
        keep &= q >= min_p * q.max() * (1 - 1e-12)
    return np.where(keep, q, 0) / q[keep].sum()


@given(
    st.integers(0, 10**6),
    st.sampled_from([0.3, 1.0, 2.5]),
    st.sampled_from([None, 1, 5, 40, 5000]),
    st.sampled_from([None, 0.1, 0.9, 0.999, 1.0]),
    st.sampled_from([None, 0.01, 0.5, 1.0]),
)
def test_altered_distributions(seed, t, k, top_p, min_p):
    draw = np.random.default_rng(seed)
    p = draw.dirichlet(np.full(3000, draw.choice([0.02, 1.0]))) + 1e-30
    p /= p.sum()
    ids, logq = Transform(t, k, top_p, min_p)(torch.from_numpy(np.log(p)))
    q = np.zeros(len(p))
    q[slice(None) if ids is None else ids.numpy()] = logq.exp().numpy()
    np.testing.assert_allclose(q, by_definition(p, t, k, top_p, min_p), rtol=0, atol=1e-9)


def test_neutral_options_are_not_reported_as_changes(abc):
    assert not Transform(1.0, None, 1.0, None).changes
    sample = abc.generate(method="sample", seed=1, max_tokens=2, temperature=1.0, top_p=1.0)
    assert (sample.sampling, sample.sampling_logprob) == ("", None)
    assert abc.generate(method="sample", seed=1, max_tokens=2, temperature=0.5).sampling_logprob is not None
