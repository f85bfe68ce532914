"""The steps of a predictor, and the check of conditionals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from masked_zoo import ordered

from chainrule import InputError
from chainrule.engine.predictors.base import Cloze, Steps, check_clozes

ORDERED = st.integers(0, 6).flatmap(
    lambda length: st.tuples(
        st.lists(st.integers(0, 60), min_size=length, max_size=length), st.permutations(range(length)), st.integers(0, length)
    )
)


@given(st.lists(st.tuples(ORDERED, st.sampled_from([None, 0])), max_size=4))
def test_steps_are_the_factors_one_after_another(drawn: list):
    """Each position once, in the order of prediction, given the positions before it in the order."""
    expected = []
    for (ids, order, first), start in drawn:
        expected += [(ids, list(order[:t]), order[t], start, ids[order[t]]) for t in range(first, len(ids))]
    steps = Steps([ordered(ids, order[n:], order[:n], start) for (ids, order, n), start in drawn])
    conditionals = [
        (cloze.ids_L.tolist(), cloze.seen.tolist(), cloze.target, cloze.start_id, token)
        for cloze, token in zip(steps, steps.token_N.tolist(), strict=True)
    ]
    assert conditionals == expected
    assert len(steps) == len(expected)


def cloze(seen: list[int], target: int) -> Cloze:
    return Cloze(np.array([5, 6, 7]), np.array(seen, np.int64), target)


def test_valid_conditionals():
    check_clozes([cloze([], 0), cloze([2, 0], 1), cloze([0, 1], 2)])
    check_clozes([])


@pytest.mark.parametrize(
    ("seen", "target", "message"),
    [
        ([0], 3, "position 3 is outside the text, whose positions are 0 … 2"),
        ([0], -1, "position -1 is outside the text"),
        ([3], 0, "position 3 is outside the text"),
        ([0, -1], 1, "position -1 is outside the text"),
        ([0, 1], 1, "position 1 is seen, so there is nothing to predict there"),
    ],
)
def test_invalid_positions_are_reported_with_their_item(seen: list[int], target: int, message: str):
    with pytest.raises(InputError, match=f"item 1: {message}"):
        check_clozes([cloze([0], 1), cloze(seen, target), cloze([], 9)])
