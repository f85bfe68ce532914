"""Many threads at a time, each of whose numbers must have the bits that one thread alone gets."""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import snapshots
from kinds import KINDS, NETWORKS, Numbers, another, gap, numbers, same, save

import chainrule
from chainrule import LanguageModel

THREADS = 8
SWITCH = 1e-6  # seconds after which Python gives another thread its turn
FRESH = 4  # times that new models are made, so that their first use is shared as well
EXAMPLES = 5  # written out


@dataclass(frozen=True)
class Call:
    """What a thread does, and the numbers that it must get."""

    name: str
    run: Callable[[], Any]
    wanted: Numbers


Crowd = list[list[Call]]  # for each thread, the calls among which it draws


@dataclass
class Tally:
    """What came of it."""

    calls: int = 0
    wrong: int = 0
    largest: float = 0.0  # nats
    errors: Counter[str] = field(default_factory=Counter)
    wrong_calls: Counter[str] = field(default_factory=Counter)
    lasting: list[str] = field(default_factory=list)  # what was not as before when all was over
    where: dict[str, str] = field(default_factory=dict)  # the last lines of a traceback for each error

    @property
    def passed(self) -> bool:
        return not (self.wrong or self.errors or self.lasting)

    def add(self, other: Tally) -> None:
        self.calls, self.wrong, self.largest = (
            self.calls + other.calls,
            self.wrong + other.wrong,
            max(self.largest, other.largest),
        )
        self.errors.update(other.errors)
        self.wrong_calls.update(other.wrong_calls)
        self.lasting += [line for line in other.lasting if line not in self.lasting]
        self.where |= other.where

    def note(self, call: Call) -> None:
        """Do it, and write down what is wrong with it."""
        self.calls += 1
        try:
            found = numbers(call.run())
        except Exception as error:
            said = f"{type(error).__name__}: {str(error).splitlines()[0][:100] if str(error) else ''}"
            self.errors[said] += 1
            self.where.setdefault(said, "".join(traceback.format_exception(error)[-3:]))
            return
        if not same(found, call.wanted):
            self.wrong, self.largest = self.wrong + 1, max(self.largest, gap(found, call.wanted))
            self.wrong_calls[call.name] += 1

    def __str__(self) -> str:
        said = f"{self.calls:6} calls, {self.wrong} wrong"
        said += f" (largest {self.largest:.3g} nats)" if self.wrong else ""
        said += f", {sum(self.errors.values())} errors"
        said += "".join(f"\n    {n} × {what}" for what, n in self.errors.most_common(EXAMPLES))
        said += "".join(f"\n    wrong: {n} × {what}" for what, n in self.wrong_calls.most_common(EXAMPLES))
        return said + "".join(f"\n    lasting: {line}" for line in self.lasting[:EXAMPLES])


@contextmanager
def impatient(seconds: float = SWITCH) -> Iterator[None]:
    """Python changes threads as often as it can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(seconds)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def in_threads(crowd: Crowd, calls: int, seed: int = 0) -> Tally:
    """`calls` calls in all, by one thread for each member of the crowd; all begin at once."""
    ready, tallies = threading.Barrier(len(crowd)), [Tally() for _ in crowd]

    def work(number: int) -> None:
        draw = random.Random(f"{seed} {number}")
        ready.wait()
        for _ in range(-(-calls // len(crowd))):
            tallies[number].note(draw.choice(crowd[number]))

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(len(crowd))]
    with impatient():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return _sum(tallies)


def in_tasks(crowd: Crowd, calls: int, seed: int = 0) -> Tally:
    """The same by asyncio.to_thread."""
    tallies = [Tally() for _ in crowd]

    async def work(number: int) -> None:
        draw = random.Random(f"{seed} {number}")
        for _ in range(-(-calls // len(crowd))):
            await asyncio.to_thread(tallies[number].note, draw.choice(crowd[number]))

    async def all_of_them() -> None:
        await asyncio.gather(*map(work, range(len(crowd))))

    with impatient():
        asyncio.run(all_of_them())
    return _sum(tallies)


def _sum(tallies: list[Tally]) -> Tally:
    total = Tally()
    for tally in tallies:
        total.add(tally)
    return total


# Who is in the crowd


def asked(kind: str, lm: LanguageModel, wanted: dict[str, Numbers]) -> list[Call]:
    """Everything that a model of this kind is asked."""
    return [Call(f"{kind}: {name}", lambda ask=ask: ask(lm), wanted[name]) for name, ask in KINDS[kind].asks.items()]


def wanted_of(kind: str) -> dict[str, Numbers]:
    """What another model of the same weights says in one thread."""
    lm = KINDS[kind].make()
    return {name: numbers(ask(lm)) for name, ask in KINDS[kind].asks.items()}


def alone(kind: str) -> Callable[[], Crowd]:
    """All threads ask one model."""
    wanted = wanted_of(kind)

    def make() -> Crowd:
        lm = KINDS[kind].make()
        return [asked(kind, lm, wanted)] * THREADS

    return make


def second(kind: str) -> Callable[[], Crowd]:
    """Some of the threads make a second model of the same network, again and again, and ask that."""
    wanted = wanted_of(kind)

    def make() -> Crowd:
        lm, asks = KINDS[kind].make(), KINDS[kind].asks

        def of(ask: Any, deep: bool) -> Callable[[], Any]:
            return lambda: ask(another(lm, deep))

        makers = [
            [Call(f"{kind}, a second one: {name}", of(ask, deep), wanted[name]) for name, ask in asks.items()]
            for deep in (True, False)
        ]
        return [*[asked(kind, lm, wanted)] * (THREADS - 2), *makers]

    return make


def types() -> Callable[[], Crowd]:
    """Models of float32 beside models of bfloat16."""
    kinds = ("wide", "bfloat16")
    wanted = {kind: wanted_of(kind) for kind in kinds}

    def make() -> Crowd:
        return [
            asked(kind, lm, wanted[kind]) for kind in kinds for lm in [KINDS[kind].make()] for _ in range(THREADS // len(kinds))
        ]

    return make


def verifying() -> Callable[[], Crowd]:
    """Some of the threads verify the model that others ask."""
    wanted, report = wanted_of("forest"), numbers(KINDS["forest"].make().verify())

    def make() -> Crowd:
        lm = KINDS["forest"].make()
        return [*[asked("forest", lm, wanted)] * (THREADS - 2), *[[Call("verify", lm.verify, report)]] * 2]

    return make


def loading() -> Callable[[], Crowd]:
    """Some of the threads load models.

    Not by transformers alone besides: two of its own `from_pretrained` at once leave the default dtype changed, and one of
    these meets chainrule's. A single one beside scores is a state of `state_trial`.
    """
    folder = save(Path(tempfile.mkdtemp(prefix="chainrule-")))
    kinds = ("forest", "masked", "own head", "batch", "two-stream")
    wanted = {kind: wanted_of(kind) for kind in kinds}
    loads: dict[str, Callable[[], Any]] = {
        "load in float32": lambda: chainrule.load(folder).score("hello world"),
        "load in bfloat16": lambda: chainrule.load(folder, dtype="bfloat16").score("hello world"),
    }
    loaders = [[Call(name, load, numbers(load()))] for name, load in loads.items()]

    def make() -> Crowd:
        return [*(asked(kind, KINDS[kind].make(), wanted[kind]) for kind in kinds), *loaders]

    return make


def everything() -> Callable[[], Crowd]:
    """Every thread asks models of every kind, and makes second ones of them."""
    wanted = {kind: wanted_of(kind) for kind in KINDS}

    def make() -> Crowd:
        lms = {kind: KINDS[kind].make() for kind in KINDS}
        calls = [call for kind, lm in lms.items() for call in asked(kind, lm, wanted[kind])]
        return [calls] * THREADS

    return make


SCENES: dict[str, Callable[[], Callable[[], Crowd]]] = {
    **{kind: lambda kind=kind: alone(kind) for kind in KINDS},
    **{f"second {kind}": lambda kind=kind: second(kind) for kind in NETWORKS},
    "float32 and bfloat16": types,
    "verifying": verifying,
    "loading": loading,
    "everything": everything,
}
COST = {"verifying": 0.1, "loading": 0.1, "everything": 3}  # shares of calls: the first two take many times as long


def trial(scene: str, calls: int, *, fresh: int = FRESH, tasks: bool = False) -> Tally:
    """A scene, with new models `fresh` times; what stayed behind in the process is looked at in the end."""
    make, total, run = SCENES[scene](), Tally(), in_tasks if tasks else in_threads
    before = snapshots.process()
    for seed in range(fresh):
        crowd = make()
        total.add(run(crowd, max(THREADS, calls // fresh), seed))
    total.lasting = snapshots.differences(before, snapshots.process())
    return total
