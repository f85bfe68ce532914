"""Calls that are interrupted, and checks that the model, its network and the process are unchanged after each interrupt."""

from __future__ import annotations

import gc
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Any

import snapshots
from interrupts import Method
from model_kinds import (
    KINDS,
    NETWORKS,
    Call,
    Numbers,
    all_numbers,
    largest_difference,
    network,
    numbers,
    same_bits,
    second_model,
)

from chainrule import LanguageModel

ERRORS: tuple[type[BaseException], ...] = (KeyboardInterrupt, MemoryError, RuntimeError)
RAISED_AGAIN = ERRORS[:2]  # the probe and `verify` catch others: a strategy that does not work, a property that fails
CHECK_EVERY = 10  # interrupts after which the numbers are checked too, besides the state
EXAMPLES = 6


class CallbackError(Exception):
    """Raised by a callback of these tests."""


@dataclass
class Damage:
    """The effects of interrupts."""

    interrupts: int = 0  # that came within the call
    swallowed: int = 0  # that the call did not raise
    lasting: int = 0  # after which a state stayed changed
    held: int = 0  # after which a state was changed while the exception was held
    kinds: Counter[str] = field(default_factory=Counter)
    locations: dict[str, str] = field(default_factory=dict)  # the first such interrupt of each kind
    given_up: str = ""

    @property
    def passed(self) -> bool:
        return not (self.lasting or self.held or self.given_up)

    def add(self, other: Damage) -> None:
        for name in ("interrupts", "swallowed", "lasting", "held"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.kinds.update(other.kinds)
        self.locations = other.locations | self.locations
        self.given_up = self.given_up or other.given_up

    def __str__(self) -> str:
        text = f"{self.interrupts:6} interrupts ({self.swallowed} swallowed), {self.lasting} lasting, {self.held} while held"
        text += f"; given up: {self.given_up}" if self.given_up else ""
        return text + "".join(f"\n    {n} × {kind}  [{self.locations[kind]}]" for kind, n in self.kinds.most_common(EXAMPLES))


# What is interrupted


@dataclass
class Instance:
    """A network, and the model around it; None if the call creates the model."""

    lm: LanguageModel | None
    own: Any


@dataclass(frozen=True)
class Scenario:
    """Calls that are interrupted, one after another, and the models that they are made on."""

    kind: str
    make: Callable[[], Instance]
    calls: dict[str, Callable[[Instance], Any]]
    once: bool = False  # whether a call changes its instance, so that each needs a new one
    errors: tuple[type[BaseException], ...] = ERRORS

    @property
    def kind_calls(self) -> dict[str, Call]:
        return KINDS[self.kind].calls

    def numbers_of(self, result: Any) -> Numbers:
        """The numbers of the result of a call; of a model, those of all its calls."""
        return all_numbers(result, self.kind_calls) if isinstance(result, LanguageModel) else numbers(result)

    def model_of(self, instance: Instance) -> LanguageModel:
        """The model, or a new one around the network."""
        return instance.lm or KINDS[self.kind].wrap(instance.own)


def all_calls(kind: str) -> Scenario:
    """All calls of this kind, on a model that has run each of them."""
    return Scenario(kind, lambda: _used(kind), _calls(kind))


def first_call(kind: str) -> Scenario:
    """The first call of a new model, in which it creates everything that it keeps for later calls."""

    def make() -> Instance:
        lm = KINDS[kind].make()
        return Instance(lm, network(lm))

    return Scenario(kind, make, _calls(kind) | {"invariant": lambda instance: instance.lm.invariant.reason}, once=True)


def construction(kind: str) -> Scenario:
    """The construction of a model: its network must not change."""
    make = {"make": lambda instance: KINDS[kind].wrap(instance.own)}
    return Scenario(kind, lambda: Instance(None, KINDS[kind].network()), make, True, RAISED_AGAIN)


def second_construction(kind: str) -> Scenario:
    """The construction of a second model of the same network: the first model must not change."""
    return Scenario(kind, lambda: _used(kind), {"make": lambda instance: second_model(instance.lm)}, False, RAISED_AGAIN)


def verification() -> Scenario:
    return Scenario("forest", lambda: _used("forest"), {"verify": lambda instance: instance.lm.verify()}, errors=RAISED_AGAIN)


def _used(kind: str) -> Instance:
    lm = KINDS[kind].make()
    all_numbers(lm, KINDS[kind].calls)
    return Instance(lm, network(lm))


def _calls(kind: str) -> dict[str, Callable[[Instance], Any]]:
    return {name: lambda instance, call=call: call(instance.lm) for name, call in KINDS[kind].calls.items()}


def callbacks() -> dict[str, Callable[[LanguageModel], Any]]:
    """Calls whose callback raises CallbackError the first or the second time that it is called."""

    def raising(times: int) -> Callable[..., None]:
        left = times

        def callback(*_: Any) -> None:
            nonlocal left
            left -= 1
            if not left:
                raise CallbackError

        return callback

    texts = [[5, 6], [7, 8, 9], [9, 8, 7, 6]]
    calls: dict[str, Callable[[LanguageModel], Any]] = {}
    for n in (1, 2):
        calls[f"progress {n}"] = lambda lm, n=n: lm.score_batch(texts, rows=2, progress=raising(n))
        calls[f"on_token {n}"] = lambda lm, n=n: lm.generate([5], max_tokens=3, on_token=raising(n))
        calls[f"on_token of samples {n}"] = lambda lm, k=n: lm.generate(
            [5], max_tokens=3, method="sample", n=9, on_token=raising(k)
        )
        calls[f"verify {n}"] = lambda lm, n=n: lm.verify(progress=raising(n))
    return calls


SCENARIOS: dict[str, Callable[[], Scenario]] = {
    **{kind: lambda kind=kind: all_calls(kind) for kind in KINDS},
    **{f"first call: {kind}": lambda kind=kind: first_call(kind) for kind in KINDS},
    **{f"construction: {kind}": lambda kind=kind: construction(kind) for kind in NETWORKS},
    **{f"second construction: {kind}": lambda kind=kind: second_construction(kind) for kind in NETWORKS},
    "verify": verification,
}
SHARES = {"verify": 0.05, "first call": 0.1, "construction": 0.05, "second construction": 0.05}


def share(name: str) -> float:
    """The share of the interrupts that a scenario gets. Slow scenarios get a small one."""
    group, more, _ = name.partition(":")
    return SHARES.get(group, 1) if more or group == "verify" else 1


# The trial


def trial(scenario: Scenario, method: Method, count: int, *, seed: int = 0, seconds: float = 1e9) -> Damage:
    """Interrupt all calls of a scenario, one after another, `count` times in all."""
    damage, draw, until = Damage(), random.Random(seed), time.monotonic() + seconds
    before, process = all_numbers(scenario.model_of(scenario.make()), scenario.kind_calls), snapshots.process()
    for name in scenario.calls:
        damage.add(_CallTrial(scenario, name, before, process).run(method, -(-count // len(scenario.calls)), draw, until))
    return damage


class _CallTrial:
    """The interrupts of one call of a scenario.

    before: the numbers of all calls of the kind on a model that was not interrupted; process: the state of the process.
    """

    def __init__(self, scenario: Scenario, name: str, before: Numbers, process: snapshots.State) -> None:
        self.scenario, self.name, self.call, self.before = scenario, name, scenario.calls[name], before
        self.wanted, self.damage, self.process = scenario.numbers_of(self.call(scenario.make())), Damage(), process
        self._renew()

    def run(self, method: Method, count: int, draw: random.Random, until: float) -> Damage:
        instances = [self.scenario.make() if self.scenario.once else self.instance for _ in range(4)]
        interrupter = method(lambda: self.call(instances.pop()))
        if interrupter.count == 0:  # the call has no such event
            return self.damage
        events = None if interrupter.count is None else _spread(interrupter.count, count, draw)
        errors = self.scenario.errors
        for n in range(3 * count):
            if self.damage.interrupts >= count or self.damage.given_up or time.monotonic() > until:
                break
            at, error = interrupter.delay(draw) if events is None else next(events), errors[n % len(errors)]
            check = self.scenario.once or n % CHECK_EVERY == 0
            try:
                copy_context().run(self._interrupt, interrupter, at, error, check)  # changed context variables end with it
            except Exception as problem:  # errors of the call are all caught: a new model cannot be made any more
                self.damage.lasting, self.damage.given_up = self.damage.lasting + 1, f"{self.name}: {_message(problem)}"
        if not self.damage.given_up and (problem := self._other_bits()):
            self._note(True, [problem], "at the end")
        return self.damage

    def _renew(self) -> None:
        self.instance = self.scenario.make()
        self.state = snapshots.network(self.instance.own) | snapshots.config(self.instance.own)

    def _interrupt(self, interrupter: Any, at: Any, error: type[BaseException], check: bool) -> None:
        interrupted, result, raised = interrupter.interrupt(lambda: self.call(self.instance), at, error)
        if not interrupted:
            if self.scenario.once:
                self._renew()
            return
        self.damage.interrupts += 1
        self.damage.swallowed += raised is None
        changes, returned = self._changes(raised), raised is None
        raised = None
        if changes:
            gc.collect()
        lasting = bool(changes and self._changes(None if returned else CallbackError()))
        problems = list(filter(None, [returned and self._result(result), (check or changes) and self._other_bits()]))
        if changes or problems:
            self._note(bool(lasting or problems), changes + problems, f"{error.__name__} in {interrupter.location}")
            self._repair()
        elif self.scenario.once:
            self._renew()

    def _changes(self, raised: BaseException | None) -> list[str]:
        """The changes of the state. The caller holds `raised`, as code that has caught it does."""
        changes = snapshots.differences(self.process, snapshots.process())
        if raised is None and self.instance.lm is None:  # a model was made, and may have set up the network for itself
            return changes
        own = self.instance.own
        return changes + snapshots.differences(self.state, snapshots.network(own) | snapshots.config(own))

    def _result(self, result: Any) -> str:
        """The problem with the result of a call that swallowed the interrupt; empty if there is none."""
        try:
            returned = self.scenario.numbers_of(result)
        except Exception as error:
            return f"swallowed, and the result raises {_message(error)}"
        if same_bits(returned, self.wanted):
            return ""
        return f"swallowed, and the result differs (by {largest_difference(returned, self.wanted):.0e} nats)"

    def _other_bits(self) -> str:
        """The problem with the numbers of all calls now; empty if they have the bits from before."""
        try:
            now = all_numbers(self.scenario.model_of(self.instance), self.scenario.kind_calls)
        except Exception as error:
            return f"afterwards {_message(error)}"
        if same_bits(now, self.before):
            return ""
        return f"other bits afterwards (by {largest_difference(now, self.before):.0e} nats)"

    def _note(self, lasting: bool, problems: list[str], location: str) -> None:
        self.damage.lasting, self.damage.held = self.damage.lasting + lasting, self.damage.held + (not lasting)
        key = f"{self.name}: {problems[0]}{f', and {len(problems) - 1} more' if len(problems) > 1 else ''}"
        self.damage.kinds[key] += 1
        self.damage.locations.setdefault(key, location)

    def _repair(self) -> None:
        snapshots.restore(self.process)
        self._renew()
        left = [line for line in snapshots.differences(self.process, snapshots.process()) if not line.startswith("context")]
        if problems := [*left, *filter(None, [self._other_bits()])]:
            self.damage.given_up = f"{self.name}: a changed state cannot be restored: {problems[0]}"
        if self.scenario.once:
            self._renew()


def _spread(events: int, count: int, draw: random.Random) -> Iterator[int]:
    """Each event once if there are at most `count`; otherwise events at equal distances."""
    step, first = max(1.0, events / count), draw.random()
    return (int((first + n) * step) % events for n in range(3 * count))


def _message(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error)[:80]}"
