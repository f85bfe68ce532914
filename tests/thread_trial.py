"""Calls in several threads at once. Every number must have the bits that a single thread computes."""

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
from model_kinds import KINDS, NETWORKS, Numbers, largest_difference, numbers, same_bits, save_llama, second_model

import chainrule
from chainrule import LanguageModel

THREADS = 8
SWITCH = 1e-6  # seconds after which Python switches threads
FRESH = 4  # rounds with new models, so that threads share their first use too
EXAMPLES = 5  # printed


@dataclass(frozen=True)
class CheckedCall:
    """A call, and the numbers that it must return."""

    name: str
    run: Callable[[], Any]
    wanted: Numbers


Threads = list[list[CheckedCall]]  # for each thread, the calls that it draws from


@dataclass
class Tally:
    """The counts of wrong results and errors."""

    calls: int = 0
    wrong: int = 0
    largest: float = 0.0  # difference, in nats
    errors: Counter[str] = field(default_factory=Counter)
    wrong_calls: Counter[str] = field(default_factory=Counter)
    lasting: list[str] = field(default_factory=list)  # differences in the state of the process after the last call
    tracebacks: dict[str, str] = field(default_factory=dict)  # the last lines, for each error

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
        self.tracebacks |= other.tracebacks

    def run(self, call: CheckedCall) -> None:
        """Run a call, and count an error or a wrong result."""
        self.calls += 1
        try:
            result = numbers(call.run())
        except Exception as error:
            message = f"{type(error).__name__}: {str(error).splitlines()[0][:100] if str(error) else ''}"
            self.errors[message] += 1
            self.tracebacks.setdefault(message, "".join(traceback.format_exception(error)[-3:]))
            return
        if not same_bits(result, call.wanted):
            self.wrong, self.largest = self.wrong + 1, max(self.largest, largest_difference(result, call.wanted))
            self.wrong_calls[call.name] += 1

    def __str__(self) -> str:
        text = f"{self.calls:6} calls, {self.wrong} wrong"
        text += f" (largest difference {self.largest:.3g} nats)" if self.wrong else ""
        text += f", {sum(self.errors.values())} errors"
        text += "".join(f"\n    {n} × {error}" for error, n in self.errors.most_common(EXAMPLES))
        text += "".join(f"\n    wrong: {n} × {call}" for call, n in self.wrong_calls.most_common(EXAMPLES))
        return text + "".join(f"\n    lasting: {line}" for line in self.lasting[:EXAMPLES])


@contextmanager
def frequent_switches(seconds: float = SWITCH) -> Iterator[None]:
    """Python switches threads as often as it can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(seconds)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def in_threads(threads: Threads, calls: int, seed: int = 0) -> Tally:
    """Run `calls` calls in all. The threads start at the same time."""
    ready, tallies = threading.Barrier(len(threads)), [Tally() for _ in threads]

    def work(number: int) -> None:
        draw = random.Random(f"{seed} {number}")
        ready.wait()
        for _ in range(-(-calls // len(threads))):
            tallies[number].run(draw.choice(threads[number]))

    workers = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(len(threads))]
    with frequent_switches():
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    return _sum(tallies)


def in_tasks(threads: Threads, calls: int, seed: int = 0) -> Tally:
    """Run `calls` calls in all, in tasks, by asyncio.to_thread."""
    tallies = [Tally() for _ in threads]

    async def work(number: int) -> None:
        draw = random.Random(f"{seed} {number}")
        for _ in range(-(-calls // len(threads))):
            await asyncio.to_thread(tallies[number].run, draw.choice(threads[number]))

    async def all_tasks() -> None:
        await asyncio.gather(*map(work, range(len(threads))))

    with frequent_switches():
        asyncio.run(all_tasks())
    return _sum(tallies)


def _sum(tallies: list[Tally]) -> Tally:
    total = Tally()
    for tally in tallies:
        total.add(tally)
    return total


# Scenarios


def calls_of(kind: str, lm: LanguageModel, wanted: dict[str, Numbers]) -> list[CheckedCall]:
    """All calls of this kind on a model."""
    return [
        CheckedCall(f"{kind}: {name}", lambda call=call: call(lm), wanted[name]) for name, call in KINDS[kind].calls.items()
    ]


def wanted_of(kind: str) -> dict[str, Numbers]:
    """The numbers of a model with the same weights in a single thread."""
    lm = KINDS[kind].make()
    return {name: numbers(call(lm)) for name, call in KINDS[kind].calls.items()}


def shared(kind: str) -> Callable[[], Threads]:
    """All threads use one model."""
    wanted = wanted_of(kind)

    def make() -> Threads:
        lm = KINDS[kind].make()
        return [calls_of(kind, lm, wanted)] * THREADS

    return make


def second_models(kind: str) -> Callable[[], Threads]:
    """Some of the threads make second models of the same network, one after another, and use those."""
    wanted = wanted_of(kind)

    def make() -> Threads:
        lm, calls = KINDS[kind].make(), KINDS[kind].calls

        def on_second(call: Any, deep: bool) -> Callable[[], Any]:
            return lambda: call(second_model(lm, deep))

        makers = [
            [CheckedCall(f"{kind}, second model: {name}", on_second(call, deep), wanted[name]) for name, call in calls.items()]
            for deep in (True, False)
        ]
        return [*[calls_of(kind, lm, wanted)] * (THREADS - 2), *makers]

    return make


def types() -> Callable[[], Threads]:
    """Some of the threads use a model of float32, and others one of bfloat16."""
    kinds = ("wide", "bfloat16")
    wanted = {kind: wanted_of(kind) for kind in kinds}

    def make() -> Threads:
        return [
            calls_of(kind, lm, wanted[kind])
            for kind in kinds
            for lm in [KINDS[kind].make()]
            for _ in range(THREADS // len(kinds))
        ]

    return make


def verifying() -> Callable[[], Threads]:
    """Some of the threads verify the model that others use."""
    wanted, report = wanted_of("forest"), numbers(KINDS["forest"].make().verify())

    def make() -> Threads:
        lm = KINDS["forest"].make()
        return [*[calls_of("forest", lm, wanted)] * (THREADS - 2), *[[CheckedCall("verify", lm.verify, report)]] * 2]

    return make


def loading() -> Callable[[], Threads]:
    """Some of the threads load models, with chainrule only.

    Calls of transformers' own `from_pretrained` in several threads leave the default dtype changed. A single one, at the same
    time as scores, is a state of `state_trial`.
    """
    folder = save_llama(Path(tempfile.mkdtemp(prefix="chainrule-")))
    kinds = ("forest", "masked", "own head", "batch", "two-stream")
    wanted = {kind: wanted_of(kind) for kind in kinds}
    loads: dict[str, Callable[[], Any]] = {
        "load in float32": lambda: chainrule.load(folder).score("hello world"),
        "load in bfloat16": lambda: chainrule.load(folder, dtype="bfloat16").score("hello world"),
    }
    loaders = [[CheckedCall(name, load, numbers(load()))] for name, load in loads.items()]

    def make() -> Threads:
        return [*(calls_of(kind, KINDS[kind].make(), wanted[kind]) for kind in kinds), *loaders]

    return make


def everything() -> Callable[[], Threads]:
    """Every thread uses models of every kind."""
    wanted = {kind: wanted_of(kind) for kind in KINDS}

    def make() -> Threads:
        lms = {kind: KINDS[kind].make() for kind in KINDS}
        calls = [call for kind, lm in lms.items() for call in calls_of(kind, lm, wanted[kind])]
        return [calls] * THREADS

    return make


SCENARIOS: dict[str, Callable[[], Callable[[], Threads]]] = {
    **{kind: lambda kind=kind: shared(kind) for kind in KINDS},
    **{f"second {kind}": lambda kind=kind: second_models(kind) for kind in NETWORKS},
    "float32 and bfloat16": types,
    "verifying": verifying,
    "loading": loading,
    "everything": everything,
}
SHARES = {"verifying": 0.1, "loading": 0.1, "everything": 3}  # of the calls: the first two are slow


def trial(scenario: str, calls: int, *, fresh: int = FRESH, tasks: bool = False) -> Tally:
    """Run a scenario `fresh` times, with new models each time. At the end, the state of the process is compared."""
    make, total, run = SCENARIOS[scenario](), Tally(), in_tasks if tasks else in_threads
    before = snapshots.process()
    for seed in range(fresh):
        total.add(run(make(), max(THREADS, calls // fresh), seed))
    total.lasting = snapshots.differences(before, snapshots.process())
    return total
