"""Factors depend neither on the state of the calling program nor on what other threads score at the same time."""

from __future__ import annotations

from _thread import start_new_thread
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from queue import SimpleQueue
from typing import Any, TypeVar

import torch
from torch.overrides import TorchFunctionMode

from chainrule.verify.references import ModelUnderTest, farthest
from chainrule.verify.report import Finding

T = TypeVar("T")

THREADS = 4
ROUNDS = 3  # of the texts, in each thread


class _Doubling(TorchFunctionMode):
    """A function mode such as a library might enter: doubles the outputs of linear layers."""

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        output = func(*args, **(kwargs or {}))
        return output * 2 if func in (torch.nn.functional.linear, torch.mm, torch.addmm) else output


def _states(device: str) -> dict[str, AbstractContextManager[Any]]:
    """State that a thread can set for itself. State of the whole process is not touched, since others may be using it."""
    return {
        "autocast": torch.autocast(device, dtype=torch.bfloat16),
        "no gradients": torch.no_grad(),
        "another default device": torch.device("meta"),
        "a function mode": _Doubling(),
    }


def state(m: ModelUnderTest) -> Finding:
    """The same texts, scored with and without each state that a thread can set."""
    plain = m.factors(m.sequences)

    def within_each(_: int) -> dict[str, float]:
        errors = {}
        for name, context in _states(m.model.device.type).items():
            with context:
                errors[name] = farthest(plain, m.factors(m.sequences))
        return errors

    (errors,) = _in_threads(1, within_each)  # state that an interrupt leaves set ends with the thread
    moved = [name for name, error in errors.items() if error > 0]
    return Finding(
        f"{len(m.sequences)} texts, scored within {', '.join(errors)}, and without",
        max(errors.values()),
        cause=f"state that the program has set for its thread affects the network ({', '.join(moved)})",
        details=errors,
    )


def threads(m: ModelUnderTest) -> Finding:
    """The same texts, one after another and in several threads at once."""
    single, calls = m.factors_alone(m.sequences), ROUNDS * len(m.sequences)
    which = [[(call + thread) % len(m.sequences) for call in range(calls)] for thread in range(THREADS)]
    threaded = _in_threads(THREADS, lambda thread: [m.factors([m.sequences[i]])[0] for i in which[thread]])
    return Finding(
        f"{THREADS * calls} calls in {THREADS} threads at once, and one after another",
        max(farthest(f, [single[i] for i in w]) for f, w in zip(threaded, which, strict=True)),
        cause="calls in different threads interfere: state is set on the network, or kept between calls",
    )


def _in_threads(count: int, run: Callable[[int], T]) -> list[T]:
    """The results of `run` for 0 … count − 1, each computed in a thread of its own, all at once.

    An interrupt within `threading` may leave one of its locks held forever. So only functions written in C start the threads
    and collect their results.
    """
    results: SimpleQueue[tuple[int, list[T], BaseException | None]] = SimpleQueue()

    def work(n: int) -> None:
        try:
            results.put((n, [run(n)], None))
        except BaseException as error:
            results.put((n, [], error))

    for n in range(count):
        start_new_thread(work, (n,))
    by_thread: dict[int, T] = {}
    for _ in range(count):
        n, result, error = results.get()
        if error is not None:
            raise error
        by_thread[n] = result[0]
    return [by_thread[n] for n in range(count)]
