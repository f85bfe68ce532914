"""A worker in this process, for a model that is in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chainrule.corpus.workers.pool import Job, Pool
from chainrule.corpus.workers.worker import Worker


class Here(Pool):
    """A pool of one worker, in this thread, with the threads of the process."""

    pids = ()

    def __init__(self, worker: Worker) -> None:
        super().__init__(lambda sentence: None)  # warnings are Python's own here
        self._worker, self.about = worker, worker.about

    def __len__(self) -> int:
        return 1

    def __enter__(self) -> Here:
        return self

    def __exit__(self, *_: object) -> None: ...

    def shape(self, workers: int | None) -> tuple[int, int, int]:
        """One worker, with the threads of the process."""
        import torch

        return 1, torch.get_num_threads(), 0

    def gpus(self) -> int:
        """The model stays where it is."""
        return 0

    def grow(self, count: int, threads: int) -> None:
        """There is one worker."""

    def shrink(self, count: int) -> None:
        """There is one worker."""

    def use(self, threads: Sequence[int]) -> None:
        """The number of threads is the process's own."""

    def ask(self, method: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Call the worker, once with each arguments."""
        return [getattr(self._worker, method)(*each) for each in arguments]

    def run(self, job: Job) -> None:
        """See `Pool`."""
        for part in job.parts:
            job.tick()
            job.done(getattr(self._worker, job.method)(part))
            if job.stopped():
                return
