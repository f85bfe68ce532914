"""Ctrl-C and its like end a command in an orderly way, and never in the middle of a row."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_ENDING = ("SIGINT", "SIGTERM", "SIGHUP")
_held: list[int] | None = None  # signals that came while they were held back


class Interrupted(KeyboardInterrupt):
    """A signal that ends the command."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


@contextmanager
def interruptible() -> Iterator[None]:
    """Within, these signals raise Interrupted; those that are ignored stay so. Only the main thread can set that."""
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for name in _ENDING:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, _raise)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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


def _raise(number: int, frame: Any) -> None:
    if _held is None:
        raise Interrupted(number)
    _held.append(number)
