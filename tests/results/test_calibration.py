"""Accuracy and calibration of choices: cases by hand, and a slow reference."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainrule import InputError
from chainrule.results.accuracy import wilson
from chainrule.results.tally import Tally


def tally(shares: list[list[float]], answers: list[int]) -> Tally:
    """Of these probabilities within the set, and a single measure."""
    predicted = np.array([[own.index(max(own))] for own in shares])
    tied = np.array([[own.count(max(own)) > 1] for own in shares])
    sizes = np.array(list(map(len, shares)))
    return Tally(("logprob",), predicted, tied, np.array(answers), sizes, np.array([p for own in shares for p in own]))


def test_by_hand():
    """Exact numbers: confidences .5 (right), .75 (wrong), .75 (right), 1 (right)."""
    own = tally([[0.5, 0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [1.0, 0.0]], [0, 1, 1, 0]).calibration(4)
    assert [(b.low, b.high, b.n, b.confidence, b.accuracy) for b in own.bins] == [
        (0, 0.25, 0, None, None), (0.25, 0.5, 1, 0.5, 1.0), (0.5, 0.75, 2, 0.75, 0.5), (0.75, 1, 1, 1.0, 1.0)
    ]  # fmt: skip
    assert own.ece == (1 * 0.5 + 2 * 0.25 + 0) / 4
    # (.5² + .25² + .25²), (.75² + .75²), (.25² + .25²), 0
    assert own.brier == (0.375 + 1.125 + 0.125) / 4
    assert own.nll_nats == pytest.approx((math.log(2) + math.log(4) + math.log(4 / 3)) / 4, abs=1e-15)
    assert own.binning == "4 bins of equal width"
    assert own.bins[2].accuracy_low == wilson(1, 2)[0]
    assert own.describe().startswith("ECE 0.2500 (4 bins of equal width), Brier 0.4062, negative log likelihood 0.5918 nats")


def test_bins_of_equal_count():
    shares = [[p, 1 - p] for p in (0.9, 0.6, 0.7, 0.8, 0.55, 0.95)]
    own = tally(shares, [0, 1, 0, 0, 1, 0]).calibration(3, "count")
    assert [(b.low, b.high, b.n, b.accuracy) for b in own.bins] == [(0.55, 0.6, 2, 0), (0.6, 0.8, 2, 1), (0.8, 0.95, 2, 1)]
    assert own.binning == "3 bins of equal count"
    same = tally([[0.75, 0.25]] * 5 + [[1.0, 0.0]], [0] * 6).calibration(3, "count")
    assert [(b.low, b.high, b.n) for b in same.bins] == [(0.75, 0.75, 5), (0.75, 1.0, 1)]


def test_questions_without_an_answer_do_not_count():
    own = tally([[0.75, 0.25], [0.5, 0.5]], [-1, 0])
    assert [(a.successes, a.ties, a.n, a.chance) for a in own.accuracy()] == [(1, 1, 1, 0.5)]
    assert own.calibration().n == 1
    assert tally([[0.75, 0.25]], [-1]).accuracy() == []


@pytest.mark.parametrize(("bins", "by"), [(0, "width"), (1001, "width"), (1.5, "width"), (10, "size")])
def test_bins_that_are_not_possible(bins: int, by: str):
    with pytest.raises(InputError, match="bins"):
        tally([[0.75, 0.25]], [0]).calibration(bins, by)


QUESTIONS = st.lists(st.lists(st.integers(1, 5), min_size=2, max_size=4), min_size=1, max_size=30)


@given(QUESTIONS, st.integers(1, 12), st.randoms(use_true_random=False))
def test_against_a_slow_reference(weights: list[list[int]], bins: int, random):
    shares = [[w / sum(own) for w in own] for own in weights]
    answers = [random.randrange(-1, len(own)) for own in shares]
    answers[0] = max(0, answers[0])
    own = tally(shares, answers)
    known = [(p, a) for p, a in zip(shares, answers, strict=True) if a >= 0]
    ece = 0.0
    for i in range(bins):
        inside = [(p, a) for p, a in known if i / bins < max(p) <= (i + 1) / bins]
        if inside:
            accuracy = sum(p.index(max(p)) == a for p, a in inside) / len(inside)
            ece += len(inside) / len(known) * abs(accuracy - sum(max(p) for p, _ in inside) / len(inside))
    brier = sum(sum((p[k] - (k == a)) ** 2 for k in range(len(p))) for p, a in known) / len(known)
    result = own.calibration(bins)
    assert result.ece == pytest.approx(ece, abs=1e-14)
    assert result.brier == pytest.approx(brier, abs=1e-14)
    assert result.nll_nats == pytest.approx(-sum(math.log(p[a]) for p, a in known) / len(known), abs=1e-14)
    by_count = own.calibration(bins, "count")
    assert sum(b.n for b in by_count.bins) == len(known)
    assert all(b.n for b in by_count.bins)
    assert len(by_count.bins) <= bins
    confidences = sorted(max(p) for p, _ in known)
    for each in by_count.bins:  # equal confidences are in one bin
        inside = [c for c in confidences if each.low < c <= each.high or (each.bin == 0 and c == each.low)]
        assert each.n == len(inside)
    half = len(shares) // 2
    if half:
        parts = [tally(shares[:half], answers[:half]), tally(shares[half:], answers[half:])]
        assert Tally.joined(parts).calibration(bins) == result
