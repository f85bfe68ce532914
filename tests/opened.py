"""The paths that Python opens, for tests and benchmarks of what a checkpoint makes a process read."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any


def record_opened(keep: Callable[[str], object]) -> None:
    """Call `keep` with every path that is opened from here on, until the process ends."""

    def note(event: str, details: tuple[Any, ...]) -> None:
        if event == "open" and not isinstance(details[0], int):  # a number is a file that is open already
            keep(os.fsdecode(details[0]))

    sys.addaudithook(note)
