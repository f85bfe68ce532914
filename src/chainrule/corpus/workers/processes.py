"""Workers on this machine: processes that score one part after another, each with threads of its own."""

from __future__ import annotations

import os
import pickle
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from chainrule.cache_dir import cache_folder
from chainrule.corpus.work import Loading, Part, Scoring
from chainrule.corpus.workers.pool import FEW, TICK, Job, Left, Pool
from chainrule.errors import ModelError
from chainrule.models.threads import available
from chainrule.ops.waiting import let_sleep
from chainrule.scratch import scratch_folder

_HOME = str(Path(__file__).resolve().parents[3])  # where this package is


class Died(Exception):
    """A worker ended without an answer. The message says how."""


class Process:
    """One worker. `answers` receives (this process, kind, value) for each of its answers; kind "died" is the last."""

    def __init__(self, loading: Loading, how: Scoring, threads: int, answers: queue.SimpleQueue[Any]) -> None:
        environment = os.environ | {"OMP_NUM_THREADS": str(threads), "RAYON_NUM_THREADS": str(threads)}
        let_sleep(environment)  # a waiting thread must not take the core of another worker
        environment["PYTHONPATH"] = os.pathsep.join(dict.fromkeys([*filter(None, sys.path), _HOME]))
        # -P: the current folder, which may hold anything, is not searched for modules
        command = [sys.executable, "-P", "-m", "chainrule.corpus.workers.process"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        self._answers = answers
        self.part: Part | None = None  # in hand
        threading.Thread(target=self._receive, daemon=True).start()
        self.call("load", loading, how, threads)

    def call(self, method: str, *arguments: Any) -> None:
        """Ask for something; the answer comes later. A process that has ended answers "died"."""
        stream: Any = self._process.stdin
        try:
            pickle.dump((method, arguments), stream, protocol=5)
            stream.flush()
        except (OSError, ValueError):
            pass

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    @property
    def pid(self) -> int:
        return self._process.pid

    def _receive(self) -> None:
        stream: Any = self._process.stdout
        try:
            while True:
                kind, value = pickle.load(stream)
                self._answers.put((self, kind, value))
        except (EOFError, OSError, pickle.UnpicklingError):
            code = self._process.wait()
            how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
            self._answers.put((self, "died", how + (", as when memory is short" if code == -9 else "")))


class Processes(Pool):
    """A pool of processes. Raises ModelError if a worker cannot be started, and what a worker raises."""

    def __init__(self, loading: Loading, how: Scoring, say: Callable[[str], None]) -> None:
        super().__init__(say)
        self._loading, self._how = loading, how
        self._answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._members: list[Process] = []
        self._threads, self._open = 1, ExitStack()

    def __len__(self) -> int:
        return len(self._members)

    def __enter__(self) -> Processes:
        with suppress(OSError, ModelError):  # without a cache folder, each worker has its own copy of the weights
            parent = cache_folder()
            parent.mkdir(parents=True, exist_ok=True)
            folder = self._open.enter_context(scratch_folder(parent, ".weights-"))
            self._loading = replace(self._loading, shared=str(folder))
        return self

    def __exit__(self, *_: object) -> None:
        self.shrink(0)
        self._open.close()

    @property
    def pids(self) -> list[int]:
        return [member.pid for member in self._members]

    def shape(self, workers: int | None) -> tuple[int, int, int]:
        """See `Pool`."""
        cores = available()
        few = workers or max(1, cores // FEW)
        return few, max(1, cores // few), 0 if workers else cores

    def gpus(self) -> int:
        """See `Pool`. With a device such as cuda:1, there is one."""
        count = self.ask("gpus", [()])[0]
        return count if self._loading.device == "cuda" else min(1, count)

    def grow(self, count: int, threads: int) -> None:
        """Start workers until there are `count`, and wait until all have loaded the model."""
        self._threads = threads
        new = [self._started(number) for number in range(len(self._members), count)]
        self._members += new
        for about in self._wait(new):
            self._agree(about)

    def shrink(self, count: int) -> None:
        """Stop workers until `count` are left."""
        for member in self._members[count:]:
            member.kill()
        del self._members[count:]

    def use(self, threads: Sequence[int]) -> None:
        """Set the number of threads of the first workers."""
        self._threads = threads[0]
        self.ask("use", [(number,) for number in threads])

    def ask(self, method: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Call the first workers, each with its arguments, at the same time; their results in order."""
        members = self._members[: len(arguments)]
        for member, each in zip(members, arguments, strict=True):
            member.call(method, *each)
        return self._wait(members)

    def run(self, job: Job) -> None:
        """See `Pool`. A part is given to another worker once."""
        idle, left = list(self._members), Left(job)
        while True:
            while idle and (part := left.take()) is not None:
                member = idle.pop()
                member.part = part
                member.call(job.method, part)
            if len(idle) == len(self._members):
                return
            job.tick()
            try:
                member, kind, value = self._answers.get(timeout=TICK)
            except queue.Empty:
                continue
            if member not in self._members:
                continue
            if kind == "warning":
                self._warn(value)
            elif kind == "error":
                raise value
            elif kind == "died":
                part = member.part
                if part is not None and left.give_back(part) == 2:
                    raise ModelError(f"two workers ended while they scored {part.name}: the last one {value}")
                idle = [each for each in idle if each is not member]
                if job.stopped():
                    self._members.remove(member)
                else:
                    self._say(f"a worker {value}; another one takes its place")
                    idle.append(self._replaced(member))
            else:
                part, member.part = member.part, None
                idle.append(member)
                if part is not None:
                    job.done(value)

    def _replaced(self, member: Process) -> Process:
        number = self._members.index(member)
        self._members[number] = self._started(number)
        self._agree(self._wait([self._members[number]])[0])
        return self._members[number]

    def _started(self, number: int) -> Process:
        loading = self._loading
        if loading.device == "cuda":
            loading = replace(loading, device=f"cuda:{number}")
        return Process(loading, self._how, self._threads, self._answers)

    def _wait(self, members: Sequence[Process]) -> list[Any]:
        """One result of each of these workers, in their order. Answers of others are kept for later."""
        results: dict[int, Any] = {}
        others = []
        while len(results) < len(members):
            member, kind, value = self._answers.get()
            if kind == "warning":
                self._warn(value)
            elif member not in members:
                others.append((member, kind, value))
            elif kind == "result":
                results[id(member)] = value
            elif kind == "error":
                raise value
            else:
                raise ModelError(f"a worker {value} before its first part")
        for each in others:
            self._answers.put(each)
        return [results[id(member)] for member in members]
