"""Factors do not depend on what the program around them has set, nor on what other threads score meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from chainrule.verify.report import Finding
from chainrule.verify.subject import Subject, farthest

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
    usual, errors = s.given(s.sequences), {}
    for name, entered in _states(s.model.device.type).items():
        with entered:
            errors[name] = farthest(usual, s.given(s.sequences))
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
    which = [(call + thread) % len(s.sequences) for thread in range(THREADS) for call in range(calls)]
    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(lambda i: s.given([s.sequences[i]])[0], which))
    return Finding(
        f"{len(which)} calls in {THREADS} threads at once, and one after another",
        farthest(found, [usual[i] for i in which]),
        cause="calls in different threads meet: something is set on the network, or kept between calls",
    )
