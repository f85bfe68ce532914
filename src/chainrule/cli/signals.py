"""SIGINT, SIGTERM and SIGHUP as exceptions, deferred while rows are written."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
_deferred: list[int] | None = None  # signals received while deferred; None: signals are not deferred
_received: int | None = None  # a signal whose exception may have been discarded, as in a __del__


class Interrupted(KeyboardInterrupt):
    """A signal that ends the command."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


@contextmanager
def interruptible() -> Iterator[None]:
    """In the main thread, signals that are not ignored raise Interrupted within this context."""
    global _received
    previous: dict[int, Any] = {}
    _received = None
    if threading.current_thread() is threading.main_thread():
        for name in _SIGNALS:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                previous[number] = signal.signal(number, _raise)
    hook, sys.unraisablehook = sys.unraisablehook, _report_unraisable
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for number, handler in previous.items():
            signal.signal(number, handler)


def _report_unraisable(unraisable: Any) -> None:
    """Python's report, except for an interrupt, which `check` raises again."""
    if not isinstance(unraisable.exc_value, Interrupted):
        sys.__unraisablehook__(unraisable)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Signals received within this context raise Interrupted at its end."""
    global _deferred
    outer, _deferred = _deferred, [] if _deferred is None else _deferred
    try:
        yield
    finally:
        received, _deferred = _deferred, outer
    if outer is None and received:
        raise Interrupted(received[0])


def check() -> None:
    """Raises Interrupted for a signal whose exception was discarded."""
    if _received is not None:
        raise Interrupted(_received)


def _raise(number: int, frame: Any) -> None:
    global _received
    if _deferred is None:
        _received = number
        raise Interrupted(number)
    _deferred.append(number)
