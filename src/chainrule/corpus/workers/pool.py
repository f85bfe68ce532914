"""Pools of workers: processes on this machine, actors on many, or one worker in this process."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from chainrule.corpus.work import Part
from chainrule.errors import ModelError

FEW = 16  # threads of a worker, at most; more of them share operations, and wait for one another
TICK = 0.5  # seconds between calls of `Job.tick`


@dataclass(frozen=True)
class Job:
    """A method of `chainrule.corpus.workers.worker.Worker` that is called for every part."""

    method: str
    parts: Iterator[Part]
    done: Callable[[Any], None]  # called with each result
    tick: Callable[[], None]  # called about twice a second
    stopped: Callable[[], bool]  # whether no more parts are to be begun


class Left:
    """The parts of a job that no worker has in hand."""

    def __init__(self, job: Job) -> None:
        self._job, self._back, self._losses, self._more = job, list[Part](), Counter[str](), True

    def take(self) -> Part | None:
        """The next part, those that were given back first; None if there is none, or if the job is stopped."""
        if self._job.stopped():
            return None
        if self._back:
            return self._back.pop()
        part = next(self._job.parts, None) if self._more else None
        self._more = part is not None
        return part

    def give_back(self, part: Part) -> int:
        """A part whose worker ended is left again. How often that has happened to it."""
        self._back.append(part)
        self._losses[part.name] += 1
        return self._losses[part.name]

    @property
    def ended(self) -> bool:
        """Whether `take` gives no more parts."""
        return self._job.stopped() or not (self._more or self._back)


class Pool(ABC):
    """Workers that have loaded the same model. `about` is its description."""

    def __init__(self, say: Callable[[str], None]) -> None:
        """say: receives warnings of the workers, each once, and what happens to them."""
        self.about: dict[str, Any] = {}
        self._say, self._warned = say, set[str]()

    @property
    @abstractmethod
    def pids(self) -> Sequence[int]:
        """The processes of this machine that work."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __enter__(self) -> Pool: ...

    @abstractmethod
    def __exit__(self, *_: object) -> None: ...

    @abstractmethod
    def shape(self, workers: int | None) -> tuple[int, int, int]:
        """A number of workers, the threads of each, and, where it was not given, how many of one thread may be faster."""

    @abstractmethod
    def gpus(self) -> int:
        """The number of GPUs, each of which can have a worker; 0 for a model on the CPU."""

    @abstractmethod
    def grow(self, count: int, threads: int) -> None:
        """Start workers until there are `count`, and wait until all have loaded the model. Raises ModelError."""

    @abstractmethod
    def shrink(self, count: int) -> None:
        """Stop workers until `count` are left."""

    @abstractmethod
    def use(self, threads: Sequence[int]) -> None:
        """Set the number of threads of the first workers."""

    @abstractmethod
    def ask(self, method: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Call the first workers, each with its arguments, at the same time; their results in order."""

    @abstractmethod
    def run(self, job: Job) -> None:
        """Call the method for every part, until there are no more, or the job is stopped and none is in hand.

        A part whose worker ended is given to another one. Raises what a worker raises.
        """

    def _agree(self, about: dict[str, Any]) -> None:
        """Keep the description of the model. Raises ModelError if this worker has loaded another one."""
        self.about = self.about or about
        if about != self.about:
            names = [name for name in about if about[name] != self.about.get(name)]
            raise ModelError(f"two workers have loaded different models: they differ in {', '.join(names)}")

    def _warn(self, sentence: str) -> None:
        """Pass a warning of a worker on, once."""
        if sentence not in self._warned:
            self._warned.add(sentence)
            self._say(sentence)
