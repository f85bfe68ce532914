"""What is asked of a predictor: its steps, and places that cannot be asked about."""

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
    """Each place once, in the order of prediction, behind what was given and what came before it."""
    want = []
    for (ids, order, first), start in drawn:
        want += [(ids, list(order[:t]), order[t], start, ids[order[t]]) for t in range(first, len(ids))]
    steps = Steps([ordered(ids, order[n:], order[:n], start) for (ids, order, n), start in drawn])
    found = [
        (place.ids_L.tolist(), place.seen.tolist(), place.target, place.start_id, token)
        for place, token in zip(steps, steps.token_N.tolist(), strict=True)
    ]
    assert found == want
    assert len(steps) == len(want)


def place(seen: list[int], target: int) -> Cloze:
    return Cloze(np.array([5, 6, 7]), np.array(seen, np.int64), target)


def test_places_that_can_be_asked_about():
    check_clozes([place([], 0), place([2, 0], 1), place([0, 1], 2)])
    check_clozes([])


@pytest.mark.parametrize(
    ("seen", "target", "said"),
    [
        ([0], 3, "position 3 is outside the text, whose positions are 0 … 2"),
        ([0], -1, "position -1 is outside the text"),
        ([3], 0, "position 3 is outside the text"),
        ([0, -1], 1, "position -1 is outside the text"),
        ([0, 1], 1, "position 1 is seen, so there is nothing to predict there"),
    ],
)
def test_places_that_cannot_be_are_named_with_their_item(seen: list[int], target: int, said: str):
    with pytest.raises(InputError, match=f"item 1: {said}"):
        check_clozes([place([0], 1), place(seen, target), place([], 9)])
