"""Accuracy and its Wilson interval."""

from __future__ import annotations

import math

import pytest

from chainrule import Accuracy
from chainrule.results.accuracy import merged, wilson


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [  # prop.test(successes, n, correct = FALSE) of R
        (8, 10, 0.4901625, 0.9433178),
        (0, 10, 0.0, 0.2775328),
        (10, 10, 0.7224672, 1.0),
        (81, 263, 0.2552885, 0.3662096),  # Newcombe (1998): 0.2553, 0.3662
        (1, 1, 0.2065493, 1.0),
    ],
)
def test_wilson_intervals(successes: int, n: int, low: float, high: float):
    assert wilson(successes, n) == pytest.approx((low, high), abs=5e-7)


def test_the_ends_of_an_interval_solve_the_equation_of_the_score_test():
    z = 1.959963984540054
    for end in wilson(37, 120):
        assert abs(37 / 120 - end) == pytest.approx(z * math.sqrt(end * (1 - end) / 120), rel=1e-9)


def test_no_trials():
    accuracy = Accuracy("logprob", None, 0, 0, 0)
    assert math.isnan(accuracy.accuracy)
    assert accuracy.interval == (0.0, 1.0)


def test_a_tie_is_no_success_and_counts_in_n():
    accuracy = Accuracy("logprob", "x", 3, 1, 5)
    assert (accuracy.accuracy, accuracy.describe()) == (0.6, "0.600 (95 % interval 0.231 to 0.882), 3 of 5, 1 tie")


def test_parts_are_merged_by_group_and_measure():
    first = [Accuracy("logprob", None, 2, 1, 3), Accuracy("per_byte", None, 1, 0, 3), Accuracy("logprob", "x", 2, 1, 3)]
    second = [Accuracy("logprob", None, 1, 0, 1), Accuracy("per_byte", None, 1, 0, 1), Accuracy("logprob", "y", 1, 0, 1)]
    assert merged([first, second]) == [
        Accuracy("logprob", None, 3, 1, 4),
        Accuracy("per_byte", None, 2, 0, 4),
        Accuracy("logprob", "x", 2, 1, 3),
        Accuracy("logprob", "y", 1, 0, 1),
    ]
