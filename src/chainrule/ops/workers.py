"""Jobs that do not depend on each other, computed by several threads at once, each with its own threads for operations.

Threads within an operation wait for each other after each of the some thousand operations of a chunk. If another process
takes one of their cores, all of them wait for it. Threads with jobs of their own never wait for each other.

An interrupt within `threading` may leave one of its locks held forever. So only functions written in C start the threads and
collect their results.
"""

from __future__ import annotations

import ctypes
from _thread import start_new_thread
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextvars import ContextVar, copy_context
from functools import cache, partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple, TypeVar

import torch

from chainrule.ops.sealed import sealed

J = TypeVar("J")
T = TypeVar("T")

_RUNNING: ContextVar[list[bool] | None] = ContextVar("emptied when the workers are to stop", default=None)


class Stopped(BaseException):
    """Ends a worker whose results nobody waits for any more."""


class _Ended(NamedTuple):
    error: BaseException | None


def results(
    jobs: Iterable[J], make: Callable[[], Callable[[J], Iterator[T]]], workers: int, threads: int = 1
) -> Generator[T, None, None]:
    """What `make()(job)` yields for each job, in any order. Each worker calls `make` once, then takes one job after another.

    threads: of the operations of each worker. Raises the error of the first job that fails.
    """
    waiting, running, queue = deque(jobs), [True], SimpleQueue[Any]()
    alive: list[bool] = []  # one for each worker at work. An interrupt may lose what is taken from the queue, but not this
    work = sealed(partial(_work, waiting, running, make, queue, threads))
    started = ended = 0
    try:
        for _ in range(workers):
            context = copy_context()
            context.run(_RUNNING.set, running)
            try:
                start_new_thread(partial(context.run, _ending, work, alive, queue), ())
            except RuntimeError:  # the system allows no further thread
                if not started:
                    raise
                break
            started += 1
        while ended < started:
            result = queue.get()
            if isinstance(result, _Ended):
                ended += 1
                if result.error is not None:
                    raise result.error
            else:
                yield result
    finally:
        running.clear()
        while alive:
            queue.get()


def _ending(work: Callable[[], None], alive: list[bool], queue: SimpleQueue[Any]) -> None:
    error: BaseException | None = None
    alive.append(True)
    try:
        work()
    except Stopped:
        pass
    except BaseException as raised:
        error = raised
    alive.pop()
    queue.put(_Ended(error))


def _work(
    waiting: deque[J],
    running: list[bool],
    make: Callable[[], Callable[[J], Iterator[T]]],
    queue: SimpleQueue[Any],
    threads: int,
) -> None:
    _limit(threads)
    run = make()
    while waiting and running:
        try:
            job = waiting.popleft()
        except IndexError:  # another worker has taken the last one
            return
        for result in run(job):
            queue.put(result)
            stop_if_asked()


def stop_if_asked() -> None:
    """Raises `Stopped` in a worker whose results nobody waits for, as after an interrupt. Called once a layer."""
    if _RUNNING.get() == []:
        raise Stopped


def in_one_thread(run: Callable[[], T]) -> T:
    """The result of `run`, computed in a new thread with one thread for operations."""
    (result,) = results([None], lambda: lambda _: iter([run()]), 1)
    return result


def available() -> bool:
    """Whether the number of threads of operations can be set for one thread alone. `torch.set_num_threads` sets it for all."""
    return _setters() is not None


def _limit(threads: int) -> None:
    """Set the number of threads of operations in this thread, which ends soon. Requires `available()`."""
    torch.get_num_threads()  # sets the defaults of a new thread
    for setter in _setters() or ():
        setter(threads)


@cache
def _setters() -> tuple[Any, ...] | None:
    """The functions of OpenMP and MKL that set the number of threads for the calling thread; None if they are not found."""
    names = ["omp_set_num_threads", *(["MKL_Set_Num_Threads_Local"] if torch.backends.mkl.is_available() else [])]
    try:
        library = ctypes.CDLL(str(next((Path(torch.__file__).parent / "lib").glob("libtorch_cpu.*"))))
        return tuple(getattr(library, name) for name in names)
    except (StopIteration, OSError, AttributeError):
        return None
