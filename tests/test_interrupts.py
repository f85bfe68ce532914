"""Whatever is raised in the midst of a call, all is as before. `scripts/stress.py interrupts` tries it longer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import pytest
import snapshots
import torch
from kinds import KINDS, everything, network, same
from strikes import AtDoor, AtEvent, AtTime, Way, unheard
from struck import SUBJECTS, Damage, Struck, callbacks, trial

from chainrule.ops.sealed import Plain, within


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """What one trial leaves in the process does not fail the next one."""
    before = snapshots.process()
    with unheard():
        yield
    snapshots.restore(before)


def struck(name: str, way: Way, times: int) -> Damage:
    found = trial(SUBJECTS[name](), way, times)
    assert found.strikes >= times * 0.8
    return found


@pytest.mark.parametrize(
    "kind",
    ["forest", "own head", "batch", "embeddings", "generating", "masked", "two-stream", "any-order", "sums", "table"],
)
def test_on_the_way_in_and_out(kind: str):
    """Function modes, inference mode, stand-ins, another trunk: whatever a call puts in place is gone after it."""
    found = struck(kind, AtDoor, 60)
    assert found.passed, str(found)


@pytest.mark.parametrize("kind", ["forest", "own head", "masked"])
def test_anywhere(kind: str):
    found = struck(kind, AtEvent, 100)
    assert found.passed, str(found)


def test_while_another_exception_is_on_its_way():
    """A way that does not work raises: its function mode must be gone, also where an interrupt comes meanwhile."""

    def fail() -> None:
        with suppress(ZeroDivisionError):
            within(Plain(), lambda: 1 / 0)

    way, depth = AtEvent(fail), torch._C._len_torch_function_stack()
    assert way.count > 8
    for at in range(way.count):
        came, _, _ = way.strike(fail, at, Struck)
        assert came
        assert torch._C._len_torch_function_stack() == depth, at


def test_by_signals_at_random_times():
    found = struck("masked", AtTime, 60)
    assert found.passed, str(found)


@pytest.mark.parametrize("name", ["made: forest", "made: masked", "second: own head", "verify"])
def test_while_a_model_is_made_or_verified(name: str):
    """The network is as it was; and what ran out of memory is raised, and not taken for a way that does not work."""
    found = struck(name, AtEvent, 24 if name != "verify" else 6)
    assert found.passed, str(found)


@pytest.mark.parametrize("name", callbacks())
def test_callbacks_that_raise(name: str):
    lm, asks = KINDS["forest"].make(), KINDS["forest"].asks
    before, process, state = everything(lm, asks), snapshots.process(), snapshots.network(network(lm))
    with pytest.raises(Struck) as held:
        callbacks()[name](lm)
    assert snapshots.differences(process, snapshots.process()) == []
    assert snapshots.differences(state, snapshots.network(network(lm))) == []
    assert same(everything(lm, asks), before)
    assert held
