"""How far a run is: what is done now and was done before, the speed, the time left, and the memory in use."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from chainrule.corpus.work import Tally


@dataclass(frozen=True)
class Progress:
    """The state of a run. A count of documents includes those of earlier runs; speeds are those of this run."""

    stage: str  # "reading", "loading", "measuring", "scoring" or "counting"
    documents: int = 0
    failed: int = 0  # of them, those that could not be scored
    total: int | None = None  # about; None: unknown
    tokens: int = 0
    distinct: float | None = None  # contexts that were computed / tokens; None: no token yet
    tokens_per_second: float | None = None
    seconds_left: float | None = None
    memory: int = 0  # bytes, of all processes of the run, shared pages counted once


class Meter:
    """Collects tallies, and calls `show` with the state of the run."""

    def __init__(self, total: int | None) -> None:
        self.total, self.stage = total, "reading"
        self.earlier, self.now = Tally(), Tally()
        self._began: float | None = None
        self._memory, self._measured = 0, 0.0

    @property
    def all(self) -> Tally:
        return self.earlier + self.now

    def start(self, stage: str) -> None:
        """A new stage. Speeds are measured from here."""
        self.stage, self._began = stage, time.monotonic()

    @property
    def seconds(self) -> float:
        """Since the start of the stage."""
        return 0.0 if self._began is None else time.monotonic() - self._began

    def state(self, pids: Iterable[int] = ()) -> Progress:
        """The state of the run. pids: the processes of its workers."""
        if time.monotonic() - self._measured > 5:
            self._memory, self._measured = sum(map(memory, [os.getpid(), *pids])), time.monotonic()
        both, now, seconds = self.all, self.now, self.seconds
        left = None
        if self.total is not None and now.documents:
            left = max(0, self.total - both.documents) * seconds / now.documents
        return Progress(
            self.stage,
            both.documents,
            both.failed,
            None if self.total is None else max(self.total, both.documents),
            both.tokens,
            both.contexts / both.tokens if both.tokens else None,
            now.tokens / seconds if now.tokens and seconds else None,
            left,
            self._memory,
        )


def memory(pid: int) -> int:
    """The memory of a process in bytes, its share of pages that several processes map; 0 where that is unknown."""
    with suppress(OSError, ValueError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0
