"""Ctrl-C and its like end a command in an orderly way, and never in the middle of a row."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_ENDING = ("SIGINT", "SIGTERM", "SIGHUP")
_held: list[int] | None = None  # signals that came while they were held back
_lost: int | None = None  # a signal whose exception may have been swallowed, as those raised in a __del__ are


class Interrupted(KeyboardInterrupt):
    """A signal that ends the command."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


@contextmanager
def interruptible() -> Iterator[None]:
    """Within, these signals raise Interrupted; those that are ignored stay so. Only the main thread can set that."""
    global _lost
    before: dict[int, Any] = {}
    _lost = None
    if threading.current_thread() is threading.main_thread():
        for name in _ENDING:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, _raise)
    hook, sys.unraisablehook = sys.unraisablehook, _quietly
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)


def _quietly(lost: Any) -> None:
    """What was raised where nothing can be raised; an interrupt is seen to by `check`."""
    if not isinstance(lost.exc_value, Interrupted):
        sys.__unraisablehook__(lost)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Within, a signal waits for the end."""
    global _held
    outer, _held = _held, [] if _held is None else _held
    try:
        yield
    finally:
        came, _held = _held, outer
    if outer is None and came:
        raise Interrupted(came[0])


def check() -> None:
    """Raises Interrupted where a signal came and nothing has come of it."""
    if _lost is not None:
        raise Interrupted(_lost)


def _raise(number: int, frame: Any) -> None:
    global _lost
    if _held is None:
        _lost = number
        raise Interrupted(number)
    _held.append(number)
