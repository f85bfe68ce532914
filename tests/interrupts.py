"""Methods of interrupting a call: a signal at a random time, or an error at an event.

Python checks for signals at events: where a function begins, and where a call of a C function ends. Errors raised at the
events, one after another, cover every place in a call where an interrupt can come. Signals at random times come as they do
in practice, and also at the end of each loop iteration.
"""

from __future__ import annotations

import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

CONTEXT_FUNCTIONS = {
    *("__enter__", "__exit__", "__init__", "_push_mode", "_pop_mode", "helper", "decorate_context", "__setattr__"),
}


class AtRandomTime:
    """An error raised by a signal at a random time of the call."""

    location = ""  # of the last interrupt

    def __init__(self, call: Callable[[], Any]) -> None:
        times = []
        for _ in range(3):
            begin = time.perf_counter()
            call()
            times.append(time.perf_counter() - begin)
        self.seconds, self.count = min(times), None  # times are not countable

    def delay(self, draw: random.Random) -> float:
        """Seconds: uniform over the call, and one in five very early, so that entering contexts is interrupted too."""
        return max(1e-6, self.seconds * (draw.random() * 1.05 if draw.random() < 0.8 else draw.random() ** 4 / 10))

    def interrupt(
        self, call: Callable[[], Any], at: float, error: type[BaseException]
    ) -> tuple[bool, Any, BaseException | None]:
        """Whether the interrupt came within the call, the result of the call, and the exception that it raised."""
        armed, interrupted = True, False

        def handler(_: int, frame: Any) -> None:
            nonlocal armed, interrupted
            if armed:
                armed, interrupted, self.location = False, True, location_of(frame)
                raise error

        result, raised = None, None
        before = signal.signal(signal.SIGALRM, handler)
        try:
            signal.setitimer(signal.ITIMER_REAL, at)
            result = call()
            armed = False
        except BaseException as caught:
            armed, raised = False, caught
        finally:
            armed = False
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        return interrupted and (raised is None or result is None), result, raised  # otherwise it came after the call


class AtEvent:
    """An error raised at the n-th event of the call."""

    location = ""  # of the last interrupt

    def __init__(self, call: Callable[[], Any]) -> None:
        events = 0

        def count(frame: Any, event: str, _: Any) -> None:
            nonlocal events
            events += event in ("call", "c_return") and self.counts(frame)

        sys.setprofile(count)
        try:
            call()
        finally:
            sys.setprofile(None)
        self.count = events

    @staticmethod
    def counts(frame: Any) -> bool:
        """Whether the events of this frame count."""
        return True

    def interrupt(self, call: Callable[[], Any], at: int, error: type[BaseException]) -> tuple[bool, Any, BaseException | None]:
        """Whether the interrupt came within the call, the result of the call, and the exception that it raised."""
        left, interrupted = at, False

        def count(frame: Any, event: str, _: Any) -> None:
            nonlocal left, interrupted
            if event in ("call", "c_return") and self.counts(frame):
                if not left:
                    sys.setprofile(None)
                    interrupted, self.location = True, location_of(frame)
                    raise error
                left -= 1

        try:
            sys.setprofile(count)
            result = call()
        except BaseException as caught:
            return interrupted, None, caught
        finally:
            sys.setprofile(None)
        return interrupted, result, None


class AtContextEvent(AtEvent):
    """An error at an event of entering or leaving a context. These are few, and the most likely to leave a state changed."""

    @staticmethod
    def counts(frame: Any) -> bool:
        return frame.f_code.co_name in CONTEXT_FUNCTIONS


Method = type[AtRandomTime] | type[AtEvent]
METHODS: dict[str, Method] = {"signals": AtRandomTime, "events": AtEvent, "contexts": AtContextEvent}


def location_of(frame: Any) -> str:
    """The innermost three frames of an interrupted call."""
    locations = []
    while frame is not None and len(locations) < 3:
        locations.append(f"{frame.f_code.co_filename.rpartition('/')[2]}:{frame.f_lineno} {frame.f_code.co_name}")
        frame = frame.f_back
    return " < ".join(locations)


@contextmanager
def unraisable_errors() -> Iterator[list[Any]]:
    """A list that collects the types of errors that no code can catch (in `__del__`, for example). They are not printed."""
    errors: list[Any] = []
    before = sys.unraisablehook
    sys.unraisablehook = lambda event: errors.append(event.exc_type)
    try:
        yield errors
    finally:
        sys.unraisablehook = before
