"""Factors do not depend on what the program around them has set, nor on what other threads score meanwhile."""

from __future__ import annotations

from _thread import start_new_thread
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from queue import SimpleQueue
from typing import Any, TypeVar

import torch
from torch.overrides import TorchFunctionMode

from chainrule.verify.references import Subject, farthest
from chainrule.verify.report import Finding

T = TypeVar("T")

THREADS = 4
ROUNDS = 3  # of the texts, in each thread


class _Doubling(TorchFunctionMode):
    """As some library might enter it: linear layers give twice of what they should."""

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        found = func(*args, **(kwargs or {}))
        return found * 2 if func in (torch.nn.functional.linear, torch.mm, torch.addmm) else found


def _states(device: str) -> dict[str, AbstractContextManager[Any]]:
    """What a thread may have set for itself; what is the whole process's is left alone, since others may be using it."""
    return {
        "autocast": torch.autocast(device, dtype=torch.bfloat16),
        "no gradients": torch.no_grad(),
        "another default device": torch.device("meta"),
        "a function mode": _Doubling(),
    }


def state(s: Subject) -> Finding:
    """The same texts, with what a thread may have set around them and without."""
    usual = s.given(s.sequences)

    def within_each(_: int) -> dict[str, float]:
        errors = {}
        for name, entered in _states(s.model.device.type).items():
            with entered:
                errors[name] = farthest(usual, s.given(s.sequences))
        return errors

    (errors,) = _in_threads(1, within_each)  # what an interrupt may leave set, ends with its thread
    moved = [name for name, error in errors.items() if error > 0]
    return Finding(
        f"{len(s.sequences)} texts, scored within {', '.join(errors)}, and without",
        max(errors.values()),
        cause=f"what the program has set for its own thread reaches the network ({', '.join(moved)})",
        details=errors,
    )


def threads(s: Subject) -> Finding:
    """The same texts, one at a time and in several threads at once."""
    usual, calls = s.alone(s.sequences), ROUNDS * len(s.sequences)
    which = [[(call + thread) % len(s.sequences) for call in range(calls)] for thread in range(THREADS)]
    found = _in_threads(THREADS, lambda thread: [s.given([s.sequences[i]])[0] for i in which[thread]])
    return Finding(
        f"{THREADS * calls} calls in {THREADS} threads at once, and one after another",
        max(farthest(f, [usual[i] for i in w]) for f, w in zip(found, which, strict=True)),
        cause="calls in different threads meet: something is set on the network, or kept between calls",
    )


def _in_threads(count: int, run: Callable[[int], T]) -> list[T]:
    """`run` of 0 … count − 1 at once, each in a thread of its own.

    An interrupt within `threading` may leave one of its locks held for good. So threads are started and heard by C alone.
    """
    said: SimpleQueue[tuple[int, list[T], BaseException | None]] = SimpleQueue()

    def work(n: int) -> None:
        try:
            said.put((n, [run(n)], None))
        except BaseException as error:
            said.put((n, [], error))

    for n in range(count):
        start_new_thread(work, (n,))
    found: dict[int, T] = {}
    for _ in range(count):
        n, results, error = said.get()
        if error is not None:
            raise error
        found[n] = results[0]
    return [found[n] for n in range(count)]
