"""Exceptions in the midst of calls: a signal at any time, or an error at any event.

An event is what Python itself looks for signals at: the beginning of a function, and the end of a call of one in C. Striking
at events, one after another, finds each place in a call where an interrupt can come; signals at random times come as they do
in life, and at the end of each loop too.
"""

from __future__ import annotations

import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

DOORS = {"__enter__", "__exit__", "__init__", "_push_mode", "_pop_mode", "helper", "decorate_context", "__setattr__"}


class AtTime:
    """By a signal, at a random time of the call."""

    where = ""  # the last one came

    def __init__(self, call: Callable[[], Any]) -> None:
        times = []
        for _ in range(3):
            begin = time.perf_counter()
            call()
            times.append(time.perf_counter() - begin)
        self.seconds, self.count = min(times), None  # no end to the times there are

    def delay(self, draw: random.Random) -> float:
        """Anywhere; one in five very early, so that the way in is hit as well."""
        return max(1e-6, self.seconds * (draw.random() * 1.05 if draw.random() < 0.8 else draw.random() ** 4 / 10))

    def strike(self, call: Callable[[], Any], at: float, error: type[BaseException]) -> tuple[bool, Any, BaseException | None]:
        """Whether it came within the call, what the call gave, and what it raised."""
        armed, struck = True, False

        def handler(_: int, frame: Any) -> None:
            nonlocal armed, struck
            if armed:
                armed, struck, self.where = False, True, place_of(frame)
                raise error

        found, raised = None, None
        before = signal.signal(signal.SIGALRM, handler)
        try:
            signal.setitimer(signal.ITIMER_REAL, at)
            found = call()
            armed = False
        except BaseException as caught:
            armed, raised = False, caught
        finally:
            armed = False
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        return struck and (raised is None or found is None), found, raised  # or else it came after the call's end


class AtEvent:
    """By an error at the n-th event of the call."""

    where = ""  # the last one came

    def __init__(self, call: Callable[[], Any]) -> None:
        counted = 0

        def count(frame: Any, event: str, _: Any) -> None:
            nonlocal counted
            counted += event in ("call", "c_return") and self.counts(frame)

        sys.setprofile(count)
        try:
            call()
        finally:
            sys.setprofile(None)
        self.count = counted

    @staticmethod
    def counts(frame: Any) -> bool:
        """Whether events in this frame are struck."""
        return True

    def strike(self, call: Callable[[], Any], at: int, error: type[BaseException]) -> tuple[bool, Any, BaseException | None]:
        left, struck = at, False

        def count(frame: Any, event: str, _: Any) -> None:
            nonlocal left, struck
            if event in ("call", "c_return") and self.counts(frame):
                if not left:
                    sys.setprofile(None)
                    struck, self.where = True, place_of(frame)
                    raise error
                left -= 1

        try:
            sys.setprofile(count)
            found = call()
        except BaseException as caught:
            return struck, None, caught
        finally:
            sys.setprofile(None)
        return struck, found, None


class AtDoor(AtEvent):
    """The same, on the way in and out of contexts: few events, and those after which something is most likely to stay."""

    @staticmethod
    def counts(frame: Any) -> bool:
        return frame.f_code.co_name in DOORS


Way = type[AtTime] | type[AtEvent]
WAYS: dict[str, Way] = {"signals": AtTime, "events": AtEvent, "doors": AtDoor}


def place_of(frame: Any) -> str:
    """Where a call was struck: the innermost frames."""
    found = []
    while frame is not None and len(found) < 3:
        found.append(f"{frame.f_code.co_filename.rpartition('/')[2]}:{frame.f_lineno} {frame.f_code.co_name}")
        frame = frame.f_back
    return " < ".join(found)


@contextmanager
def unheard() -> Iterator[list[Any]]:
    """What is raised where nobody can catch it (in `__del__` and the like) comes into the list, and not onto the terminal."""
    heard: list[Any] = []
    before = sys.unraisablehook
    sys.unraisablehook = lambda event: heard.append(event.exc_type)
    try:
        yield heard
    finally:
        sys.unraisablehook = before
