"""The reference of the probe: its sequences, distances and tolerances."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from model_zoo import V, tiny
from oracle import conditionals

from chainrule.engine.selfcheck import reference
from chainrule.engine.selfcheck.reference import (
    DOUBLE,
    LENGTH,
    TOLERANCE,
    Standard,
    context_effect,
    distance,
    largest_error,
    tolerance,
    unexplained_error,
)
from chainrule.models.causal import PretrainedModel

INF, NAN = np.inf, np.nan


@pytest.mark.parametrize(
    ("a", "b", "want"),
    [
        ([1, 2], [1, 2.5], 0.5),
        ([-INF, 1], [-INF, 1], 0),
        ([-INF], [1], INF),
        ([-INF], [INF], INF),
        ([NAN, 1], [NAN, 1], INF),
        ([NAN, 1], [2, 1], INF),
        ([1, 2], [1, NAN], INF),
        ([], [], 0),
        ([[1, 2], [3, 4]], [[1, 2], [3, 1]], 3),
    ],
)
def test_distance_is_the_largest_difference_and_infinite_for_nan(a: list, b: list, want: float):
    assert distance(a, b) == want


def test_the_context_effect():
    """The mean over the vocabulary, at the position where it is largest. Tokens that cannot occur are left out."""
    one, other = np.array([[0.0, 1, 2], [5, 5, -INF]]), np.array([[0.0, 1, 5], [4, 1, -INF]])
    assert context_effect(one, other) == 2.5  # (1 + 4) / 2 at the second position, (0 + 0 + 3) / 3 at the first
    assert context_effect(one[:1], one[:1]) == 0
    assert context_effect(np.array([[-INF, 0]]), np.array([[0, 0.5]])) == 0.5
    assert context_effect(np.zeros((0, 3)), np.zeros((0, 3))) == TOLERANCE / reference.MAX_SHARE  # unknown: the largest share


def test_a_tolerance_is_a_share_of_the_context_effect_within_bounds():
    ordinary = np.full((4, 5), -10.0)
    assert tolerance(1e-2, 0.02, ordinary) == pytest.approx(2e-4, rel=1e-12)
    assert tolerance(1e-2, 50.0, ordinary) == TOLERANCE
    assert tolerance(1e-2, 0.0, ordinary) == pytest.approx(reference.ROUNDING * 10, rel=1e-12)
    assert tolerance(1e-2, 0.0, np.full((2, 2), -INF)) == 0


def test_between_rounding_and_an_error_float64_decides():
    model, dtypes = tiny("llama").lm.model, []

    def measure(error: float):
        return lambda double: dtypes.append(double.dtype) or error

    assert unexplained_error(model, 1e-5, 1e-5, 1e-3, measure(1.0)) == 0  # rounding explains it
    assert unexplained_error(model, 2e-3, 1e-5, 1e-3, measure(0.0)) == 2e-3  # rounding does not explain it
    assert unexplained_error(model, NAN, 1e-5, 1e-3, measure(0.0)) is NAN
    assert dtypes == []
    assert unexplained_error(model, 1e-4, 1e-5, 1e-3, measure(DOUBLE)) == 0
    assert unexplained_error(model, 1e-4, 1e-5, 1e-3, measure(2e-5)) == 2e-5
    assert dtypes == [torch.float64] * 2


def test_for_a_model_too_large_for_float64_rounding_is_assumed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reference, "WIDE", 0)
    assert unexplained_error(tiny("llama").lm.model, 1e-4, 1e-5, 1e-3, lambda _: pytest.fail("was widened")) == 0


@pytest.fixture
def llama() -> Standard:
    return Standard(PretrainedModel(copy.deepcopy(tiny("llama").own), "llama").trial())


def test_the_sequences_share_prefixes_and_have_the_models_own_conditionals(llama: Standard):
    trunk, *branches = llama.sequences
    assert len(trunk) == LENGTH
    for branch, (shared, own) in zip(branches, reference.BRANCHES, strict=True):
        assert branch.tolist()[:shared] == trunk.tolist()[:shared]
        assert len(branch) == min(LENGTH, shared + own)
        assert branch[shared] != trunk[shared]
    for ids, logprobs in zip(llama.sequences, llama.logprobs, strict=True):
        assert logprobs.shape == (len(ids), V)
        assert np.abs(logprobs - conditionals(tiny("llama").own, ids)).max() < 1e-6
    assert 0 < llama.safe < llama.tolerance <= TOLERANCE


def test_the_largest_error_is_that_of_a_factor(llama: Standard):
    run = tiny("llama").lm.model
    off, why = largest_error(run, llama.sequences, llama.logprobs)
    assert off < 2e-5
    assert why == f"off by {off:.2g} nats"
    wrong = [logprobs.copy() for logprobs in llama.logprobs]
    wrong[2][3, llama.sequences[2][4]] += 0.25
    assert largest_error(run, llama.sequences, wrong)[0] == pytest.approx(0.25, abs=2e-5)
    wrong[1][-1] = NAN  # no token follows, so it is not compared
    assert largest_error(run, llama.sequences, wrong)[0] == pytest.approx(0.25, abs=2e-5)


def test_the_error_of_a_failed_run_is_infinite_with_its_reason(llama: Standard, monkeypatch: pytest.MonkeyPatch):
    def broken(*_: object, **__: object) -> None:
        raise KeyError("no such thing\nat all")

    run = copy.copy(tiny("llama").lm.model)
    monkeypatch.setattr(run, "hidden", broken, raising=False)
    off, why = largest_error(run, llama.sequences, llama.logprobs)
    assert (off, why.startswith("KeyError: ")) == (INF, True)
