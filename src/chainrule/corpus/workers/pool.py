"""The interface of a pool of workers: processes on this machine, actors on many, or one worker in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from chainrule.corpus.work import Part

FEW = 16  # threads of a worker, at most; more of them share operations, and wait for one another


class Pool(Protocol):
    """Workers. A call to one names a method of `chainrule.corpus.workers.worker.Worker`."""

    about: dict[str, Any]  # the description of the model, the same of all workers

    @property
    def pids(self) -> Sequence[int]:
        """The processes of this machine that work."""
        ...

    def __enter__(self) -> Pool: ...

    def __exit__(self, *_: object) -> None: ...

    def __len__(self) -> int: ...

    def shape(self, workers: int | None) -> tuple[int, int, int]:
        """A number of workers, the threads of each, and, where it was not given, how many of one thread may be faster."""
        ...

    def gpus(self) -> int:
        """The number of GPUs, each of which can have a worker; 0 for a model on the CPU."""
        ...

    def grow(self, count: int, threads: int) -> None:
        """Start workers until there are `count`, and wait until all have loaded the model."""
        ...

    def shrink(self, count: int) -> None:
        """Stop workers until `count` are left."""
        ...

    def use(self, threads: Sequence[int]) -> None:
        """Set the number of threads of the first workers."""
        ...

    def ask(self, method: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Call the first workers, each with its arguments, at the same time; their results in order."""
        ...

    def run(
        self,
        method: str,
        parts: Iterator[Part],
        done: Callable[[Part, Any], None],
        tick: Callable[[], None],
        stopped: Callable[[], bool],
    ) -> None:
        """Call a method for every part, and `done` with its result, until there are no more, or `stopped` and none is in hand.

        tick: called about twice a second. A part whose worker ended is given to another one.
        """
        ...
