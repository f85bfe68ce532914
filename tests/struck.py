"""What is struck in the midst of calls, and what must be as before after each strike: the model, its network, the process."""

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
from kinds import KINDS, NETWORKS, Ask, Numbers, another, everything, gap, network, numbers, same
from strikes import Way

from chainrule import LanguageModel

ERRORS: tuple[type[BaseException], ...] = (KeyboardInterrupt, MemoryError, RuntimeError)
TELLING = ERRORS[:2]  # others the probe may take for a way that is not this model's, and `verify` for a property that fails
EVERY = 10  # strikes after which the numbers are looked at, besides the state
EXAMPLES = 6


class Struck(Exception):
    """Raised by a callback of ours."""


@dataclass
class Damage:
    """What strikes did."""

    strikes: int = 0  # that came within the call
    swallowed: int = 0  # that the call did not let out
    lasting: int = 0  # after which something was not as before, for good
    held: int = 0  # … for as long as somebody holds the exception
    kinds: Counter[str] = field(default_factory=Counter)
    places: dict[str, str] = field(default_factory=dict)  # where such a strike came
    given_up: str = ""

    @property
    def passed(self) -> bool:
        return not (self.lasting or self.held or self.given_up)

    def add(self, other: Damage) -> None:
        for name in ("strikes", "swallowed", "lasting", "held"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.kinds.update(other.kinds)
        self.places = other.places | self.places
        self.given_up = self.given_up or other.given_up

    def __str__(self) -> str:
        said = f"{self.strikes:6} interrupts ({self.swallowed} swallowed), {self.lasting} lasting, {self.held} while held"
        said += f"; given up: {self.given_up}" if self.given_up else ""
        return said + "".join(f"\n    {n} × {what}  [{self.places[what]}]" for what, n in self.kinds.most_common(EXAMPLES))


# What is struck


@dataclass
class Live:
    """A model, or none yet, and the network below it."""

    lm: LanguageModel | None
    own: Any


@dataclass(frozen=True)
class Subject:
    """Calls that are struck, one after another, and what must be as before after each of them."""

    kind: str
    make: Callable[[], Live]
    calls: dict[str, Callable[[Live], Any]]
    once: bool = False  # whether a call changes what it is given, so that each needs another
    errors: tuple[type[BaseException], ...] = ERRORS

    @property
    def asks(self) -> dict[str, Ask]:
        return KINDS[self.kind].asks

    def said(self, found: Any) -> Numbers:
        """The numbers of what a call gives; of a model, all that it says."""
        return everything(found, self.asks) if isinstance(found, LanguageModel) else numbers(found)

    def model(self, live: Live) -> LanguageModel:
        """The model itself, or one of the network."""
        return live.lm or KINDS[self.kind].over(live.own)


def asked(kind: str) -> Subject:
    """All that a model of this kind is asked."""
    return Subject(kind, lambda: _used(kind), _asking(kind))


def first(kind: str) -> Subject:
    """The first call of a new model, while it makes whatever it keeps for later."""

    def make() -> Live:
        lm = KINDS[kind].make()
        return Live(lm, network(lm))

    return Subject(kind, make, _asking(kind) | {"invariant": lambda live: live.lm.invariant.reason}, once=True)


def made(kind: str) -> Subject:
    """A model while it is made of a network: the network must stay as it was."""
    make = {"make": lambda live: KINDS[kind].over(live.own)}
    return Subject(kind, lambda: Live(None, KINDS[kind].network()), make, True, TELLING)


def second(kind: str) -> Subject:
    """A second model while it is made of the network of a first, which must go on as before."""
    return Subject(kind, lambda: _used(kind), {"make": lambda live: another(live.lm)}, False, TELLING)


def verified() -> Subject:
    return Subject("forest", lambda: _used("forest"), {"verify": lambda live: live.lm.verify()}, errors=TELLING)


def _used(kind: str) -> Live:
    lm = KINDS[kind].make()
    everything(lm, KINDS[kind].asks)
    return Live(lm, network(lm))


def _asking(kind: str) -> dict[str, Callable[[Live], Any]]:
    return {name: lambda live, ask=ask: ask(live.lm) for name, ask in KINDS[kind].asks.items()}


def callbacks() -> dict[str, Callable[[LanguageModel], Any]]:
    """Calls whose callback raises, each in its first or second turn."""

    def raising(times: int) -> Callable[..., None]:
        left = times

        def callback(*_: Any) -> None:
            nonlocal left
            left -= 1
            if not left:
                raise Struck

        return callback

    texts = [[5, 6], [7, 8, 9], [9, 8, 7, 6]]
    calls: dict[str, Callable[[LanguageModel], Any]] = {}
    for n in (1, 2):
        calls[f"progress {n}"] = lambda lm, n=n: lm.score_batch(texts, rows=2, progress=raising(n))
        calls[f"watch {n}"] = lambda lm, n=n: lm.generate([5], max_tokens=3, on_token=raising(n))
        calls[f"watched samples {n}"] = lambda lm, k=n: lm.generate(
            [5], max_tokens=3, method="sample", n=9, on_token=raising(k)
        )
        calls[f"verify {n}"] = lambda lm, n=n: lm.verify(progress=raising(n))
    return calls


SUBJECTS: dict[str, Callable[[], Subject]] = {
    **{kind: lambda kind=kind: asked(kind) for kind in KINDS},
    **{f"first call: {kind}": lambda kind=kind: first(kind) for kind in KINDS},
    **{f"made: {kind}": lambda kind=kind: made(kind) for kind in NETWORKS},
    **{f"second: {kind}": lambda kind=kind: second(kind) for kind in NETWORKS},
    "verify": verified,
}
COST = {"verify": 0.05, "first call": 0.1, "made": 0.05, "second": 0.05}  # of strikes, by the first words


def share(name: str) -> float:
    """How many of the strikes a subject gets: some take many times as long."""
    first, more, _ = name.partition(":")
    return COST.get(first, 1) if more or first == "verify" else 1


# The trial


def trial(subject: Subject, way: Way, strikes: int, *, seed: int = 0, seconds: float = 1e9) -> Damage:
    """Strike all calls in turn, `strikes` times in all."""
    damage, draw, until = Damage(), random.Random(seed), time.monotonic() + seconds
    report, process = everything(subject.model(subject.make()), subject.asks), snapshots.process()
    for name in subject.calls:
        damage.add(_One(subject, name, report, process).trial(way, -(-strikes // len(subject.calls)), draw, until))
    return damage


class _One:
    """One of the calls of a subject."""

    def __init__(self, subject: Subject, name: str, report: Numbers, process: snapshots.State) -> None:
        self.subject, self.name, self.call, self.report = subject, name, subject.calls[name], report
        self.wanted, self.damage, self.process = subject.said(self.call(subject.make())), Damage(), process
        self._renew()

    def trial(self, way: Way, strikes: int, draw: random.Random, until: float) -> Damage:
        lives = [self.subject.make() if self.subject.once else self.live for _ in range(4)]
        times = way(lambda: self.call(lives.pop()))
        if times.count == 0:  # there is nowhere to strike
            return self.damage
        places = None if times.count is None else _spread(times.count, strikes, draw)
        for n in range(3 * strikes):
            if self.damage.strikes >= strikes or self.damage.given_up or time.monotonic() > until:
                break
            at, error = times.delay(draw) if places is None else next(places), self.subject.errors[n % len(self.subject.errors)]
            look = self.subject.once or n % EVERY == 0
            try:
                copy_context().run(self._strike, times, at, error, look)  # what a strike leaves in a context stays there
            except Exception as wrong:  # no call's own, which are all caught: a new model can't be made any more
                self.damage.lasting, self.damage.given_up = self.damage.lasting + 1, f"{self.name}: {_said(wrong)}"
        if not self.damage.given_up and (wrong := self._other_bits()):
            self._note(True, [wrong], "at the end")
        return self.damage

    def _renew(self) -> None:
        self.live = self.subject.make()
        self.state = snapshots.network(self.live.own) | snapshots.config(self.live.own)

    def _strike(self, times: Any, at: Any, error: type[BaseException], look: bool) -> None:
        struck, found, raised = times.strike(lambda: self.call(self.live), at, error)
        if not struck:
            if self.subject.once:
                self._renew()
            return
        self.damage.strikes += 1
        self.damage.swallowed += raised is None
        changed, returned = self._changed(raised), raised is None
        raised = None
        if changed:
            gc.collect()
        lasting = bool(changed and self._changed(None if returned else Struck()))
        wrong = list(filter(None, [returned and self._result(found), (look or changed) and self._other_bits()]))
        if changed or wrong:
            self._note(bool(lasting or wrong), changed + wrong, f"{error.__name__} in {times.where}")
            self._repair()
        elif self.subject.once:
            self._renew()

    def _changed(self, raised: BaseException | None) -> list[str]:
        """What is not as it was. `raised` is held by the caller, as it is by whoever has caught it."""
        found = snapshots.differences(self.process, snapshots.process())
        if raised is None and self.live.lm is None:  # a model was made, and may have set up the network for itself
            return found
        return found + snapshots.differences(self.state, snapshots.network(self.live.own) | snapshots.config(self.live.own))

    def _result(self, found: Any) -> str:
        """What is wrong with what a call gave that let nothing out."""
        try:
            said = self.subject.said(found)
        except Exception as error:
            return f"swallowed, and what came of it raises {_said(error)}"
        return "" if same(said, self.wanted) else f"swallowed, and the result is another (by {gap(said, self.wanted):.0e} nats)"

    def _other_bits(self) -> str:
        try:
            found = everything(self.subject.model(self.live), self.subject.asks)
        except Exception as error:
            return f"afterwards {_said(error)}"
        return "" if same(found, self.report) else f"other bits afterwards (by {gap(found, self.report):.0e} nats)"

    def _note(self, lasting: bool, wrong: list[str], place: str) -> None:
        self.damage.lasting, self.damage.held = self.damage.lasting + lasting, self.damage.held + (not lasting)
        key = f"{self.name}: {wrong[0]}{f', and {len(wrong) - 1} more' if len(wrong) > 1 else ''}"
        self.damage.kinds[key] += 1
        self.damage.places.setdefault(key, place)

    def _repair(self) -> None:
        snapshots.restore(self.process)
        self._renew()
        left = [line for line in snapshots.differences(self.process, snapshots.process()) if not line.startswith("context")]
        if wrong := [*left, *filter(None, [self._other_bits()])]:
            self.damage.given_up = f"{self.name}: what stayed in place cannot be undone: {wrong[0]}"
        if self.subject.once:
            self._renew()


def _spread(count: int, strikes: int, draw: random.Random) -> Iterator[int]:
    """Every event once, where there are no more than strikes; else evenly over all of them."""
    step, first = max(1.0, count / strikes), draw.random()
    return (int((first + n) * step) % count for n in range(3 * strikes))


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error)[:80]}"
