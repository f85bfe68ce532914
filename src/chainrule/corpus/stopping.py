"""Interrupts of a run: after the first, the parts in hand are finished; the second one acts at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


class Stopping:
    """Whether the run was asked to stop."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._previous: dict[int, Callable[[int, FrameType | None], Any]] = {}
        self._received: int | None = None

    def __bool__(self) -> bool:
        return self._received is not None

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Within this context, the first signal is only noted. At its end, what the signal would have done is done."""
        if threading.current_thread() is threading.main_thread():
            for number in (getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)):
                handler = signal.getsignal(number)
                if callable(handler):  # one that the system handles ends the process, and no part is lost by that
                    self._previous[number] = handler
                    signal.signal(number, self._receive)
        try:
            yield
        finally:
            for number, handler in self._previous.items():
                signal.signal(number, handler)
        if self._received is not None:
            self._previous[self._received](self._received, None)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self._received is not None:
            self._previous[number](number, frame)
            return
        self._received = number
        self._say("stopping when the parts in hand are finished; once more stops now, and loses these parts alone")
