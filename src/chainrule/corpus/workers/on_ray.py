"""Workers on the machines of a Ray cluster: actors that score one part after another. Reading and writing stay in this process.

A part is the same, and gets the same name, on every machine. When a machine is lost, the parts of its workers are given
to others; Ray starts the workers again where there is room.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

from chainrule.corpus.work import Loading, Part, Scoring
from chainrule.corpus.workers.pool import FEW, TICK, Job, Left, Pool
from chainrule.errors import InputError, ModelError, require

_LOSSES = 5  # times that a part may be lost with its worker


class Actor:
    """A worker in a process of Ray. Results come with the warnings that were made."""

    def __init__(self, loading: Loading, how: Scoring, threads: int) -> None:
        from chainrule.corpus.workers.worker import Worker

        self._worker = Worker.load(loading, how, threads)

    def call(self, method: str, *arguments: Any) -> tuple[Any, list[str]]:
        """The result of a method of the worker."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            result = self._worker.about if method == "about" else getattr(self._worker, method)(*arguments)
        return result, [str(each.message) for each in caught if issubclass(each.category, UserWarning)]


class OnRay(Pool):
    """A pool of actors. Raises InputError if there is no cluster, ModelError if a worker cannot be started."""

    pids = ()  # their memory is on other machines

    def __init__(self, address: str, loading: Loading, how: Scoring, say: Callable[[str], None]) -> None:
        """address: of the cluster, "auto" for the one that this machine belongs to, or "local" for one on this machine."""
        require("ray", "--ray", InputError)
        import ray

        self._ray: Any = ray
        super().__init__(say)
        self._loading, self._how = loading, how
        self._actors: list[Any] = []
        self._threads = 1
        self._own = not ray.is_initialized()
        if self._own:
            try:
                ray.init(None if address == "local" else address, log_to_driver=False, logging_level="ERROR")
            except (ConnectionError, ValueError, RuntimeError) as error:
                raise InputError(f"there is no Ray cluster at {address!r}: {str(error).splitlines()[0]}") from None

    def __enter__(self) -> OnRay:
        return self

    def __exit__(self, *_: object) -> None:
        self.shrink(0)
        if self._own:
            self._ray.shutdown()

    def __len__(self) -> int:
        return len(self._actors)

    def shape(self, workers: int | None) -> tuple[int, int, int]:
        """See `Pool`. On each machine, a worker for every 16 cores, or one with all cores of a smaller machine."""
        cores = [int(node["Resources"].get("CPU", 0)) for node in self._ray.nodes() if node["Alive"]]
        cores = [number for number in cores if number]
        if not cores:
            raise InputError("the Ray cluster has no machine with a core")
        if workers:
            return workers, max(1, min(min(cores), sum(cores) // workers)), 0
        threads = min(FEW, *cores)
        return sum(number // threads for number in cores), threads, 0

    def gpus(self) -> int:
        """See `Pool`."""
        if self._loading.device != "cuda":
            return 0
        return int(self._ray.cluster_resources().get("GPU", 0))

    def grow(self, count: int, threads: int) -> None:
        """See `Pool`."""
        self._threads = threads
        new = [self._started() for _ in range(len(self._actors), count)]
        self._actors += new
        for about in self._results([actor.call.remote("about") for actor in new]):
            self._agree(about)

    def shrink(self, count: int) -> None:
        """See `Pool`."""
        for actor in self._actors[count:]:
            self._ray.kill(actor)
        del self._actors[count:]

    def use(self, threads: Sequence[int]) -> None:
        """See `Pool`. The cores of an actor are reserved when it starts, so this changes nothing."""

    def ask(self, method: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        """See `Pool`."""
        actors = self._actors[: len(arguments)]
        return self._results([actor.call.remote(method, *each) for actor, each in zip(actors, arguments, strict=True)])

    def run(self, job: Job) -> None:
        """See `Pool`."""
        lost = (self._ray.exceptions.RayActorError, self._ray.exceptions.ObjectLostError)
        calls: dict[Any, tuple[Any, Part | None]] = {}  # None: a worker that is being started again
        idle, left = list(self._actors), Left(job)
        while True:
            while idle and (part := left.take()) is not None:
                actor = idle.pop()
                calls[actor.call.remote(job.method, part)] = actor, part
            if left.ended and not any(part is not None for _, part in calls.values()):
                return
            job.tick()
            ready, _ = self._ray.wait(list(calls), timeout=TICK)
            for call in ready:
                actor, part = calls.pop(call)
                try:
                    [result] = self._results([call])
                except lost:
                    calls[actor.call.remote("about")] = actor, None
                    if part is not None:
                        if left.give_back(part) > _LOSSES:
                            raise ModelError(f"{part.name} was lost {_LOSSES + 1} times with its worker") from None
                        self._say("a worker was lost; its part is given to another one")
                    continue
                idle.append(actor)
                if part is None:
                    self._agree(result)
                else:
                    job.done(result)

    def _started(self) -> Any:
        gpus = 1 if self._loading.device == "cuda" else 0
        options = {"num_cpus": self._threads, "num_gpus": gpus, "max_restarts": -1, "max_task_retries": 0}
        return self._ray.remote(**options)(Actor).remote(self._loading, self._how, self._threads)

    def _results(self, calls: Sequence[Any]) -> list[Any]:
        """The results of calls, in order. What a worker raises is raised."""
        results = []
        for call in calls:
            try:
                result, warned = self._ray.get(call)
            except self._ray.exceptions.RayTaskError as error:
                raise error.cause if error.cause is not None else error from None
            for sentence in warned:
                self._warn(sentence)
            results.append(result)
        return results
