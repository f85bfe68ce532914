"""Interrupted calls change neither the model nor the process. `scripts/stress.py interrupts` runs more of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import pytest
import snapshots
import torch
from interrupt_trial import SCENARIOS, CallbackError, Damage, callbacks, trial
from interrupts import AtContextEvent, AtEvent, AtRandomTime, Method, unraisable_errors
from model_kinds import KINDS, all_numbers, network, same_bits

from chainrule.ops.sealed import Plain, within


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Restores the state of the process, so that one failure does not cause others."""
    before = snapshots.process()
    with unraisable_errors():
        yield
    snapshots.restore(before)


def interrupted(name: str, method: Method, count: int) -> Damage:
    damage = trial(SCENARIOS[name](), method, count)
    assert damage.interrupts >= count * 0.8
    return damage


@pytest.mark.parametrize(
    "kind",
    ["forest", "own head", "batch", "embeddings", "generating", "masked", "two-stream", "any-order", "sums", "table"],
)
def test_while_contexts_are_entered_and_left(kind: str):
    """Function modes, inference mode, replaced modules, another trunk: a call restores every state that it sets."""
    damage = interrupted(kind, AtContextEvent, 40)
    assert damage.passed, str(damage)


@pytest.mark.parametrize("kind", ["forest", "own head", "masked"])
def test_at_any_event(kind: str):
    damage = interrupted(kind, AtEvent, 60)
    assert damage.passed, str(damage)


def test_while_another_exception_is_propagated():
    """A strategy that does not work raises an exception. Its function mode must end, also if an interrupt comes meanwhile."""

    def fail() -> None:
        with suppress(ZeroDivisionError):
            within(Plain(), lambda: 1 / 0)

    interrupter, depth = AtEvent(fail), torch._C._len_torch_function_stack()
    assert interrupter.count > 8
    for at in range(interrupter.count):
        within_call, _, _ = interrupter.interrupt(fail, at, CallbackError)
        assert within_call
        assert torch._C._len_torch_function_stack() == depth, at


def test_by_signals_at_random_times():
    damage = interrupted("masked", AtRandomTime, 40)
    assert damage.passed, str(damage)


@pytest.mark.parametrize("name", ["construction: forest", "construction: masked", "second construction: own head", "verify"])
def test_while_a_model_is_made_or_verified(name: str):
    """The network is unchanged. An out-of-memory error is raised, and does not count as a strategy that does not work."""
    damage = interrupted(name, AtEvent, 16 if name != "verify" else 4)
    assert damage.passed, str(damage)


@pytest.mark.parametrize("name", callbacks())
def test_callbacks_that_raise(name: str):
    lm, calls = KINDS["forest"].make(), KINDS["forest"].calls
    before, process, state = all_numbers(lm, calls), snapshots.process(), snapshots.network(network(lm))
    with pytest.raises(CallbackError) as held:
        callbacks()[name](lm)
    assert snapshots.differences(process, snapshots.process()) == []
    assert snapshots.differences(state, snapshots.network(network(lm))) == []
    assert same_bits(all_numbers(lm, calls), before)
    assert held  # until here
