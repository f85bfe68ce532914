"""The thread that owns the models. What waits is scored as one forest; texts are generated a token at a time, in turn;
functions are called, and take turns with both.

A reply has the same bytes under load as alone. Factors have the same bits in any forest (see `chainrule.ops.matmul`); a model
for which this does not hold scores one request at a time. Each generation has a tree of its own.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from chainrule.engine.question import Settings
from chainrule.errors import ModelError
from chainrule.generation import Step, Stream
from chainrule.results.batch import Scores
from chainrule.serving.tasks import Call, Conditions, Generation, GivenUp, Scoring
from chainrule.serving.turns import Turns

RETURNING, LONGEST = 0.1, 0.1  # of the time of a forest, and seconds: how long the next one waits for its clients to ask again
BATCH = 16_384  # tokens of the requests that are scored at once; all of them wait for the last one
FEW = 20  # alternatives at each position that cost little
CALLED_AT_ONCE = 4  # functions that take turns
AT_ONCE = 16  # requests whose texts are generated in turn, each with keys and values of its own; others wait


class TooMany(Exception):
    """There are as many tasks as may wait."""

    def __init__(self, waiting: int) -> None:
        super().__init__(f"{waiting} requests wait for the model, and no more may")


class Worker:
    """One thread, and the tasks that wait for it. All methods may be called from any thread."""

    def __init__(self, most_waiting: int, observer: Observer | None = None) -> None:
        self._most, self._observer = most_waiting, observer or Observer()
        self._scorings: deque[Scoring] = deque()
        self._generations: deque[Generation] = deque()
        self._calls: deque[Call] = deque()
        self._running: deque[_Running] = deque()
        self._called: deque[Turns] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._in_hand = 0  # requests that are being scored
        self._expected, self._seconds = 0, 0.0  # requests that are waited for before the next forest, and how long
        self._thread = threading.Thread(target=self._run, name="chainrule-model", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def submit(self, *tasks: Scoring | Generation | Call) -> None:
        """Put the tasks of a request at the end of their queues. Raises TooMany, and ModelError while the worker is closing."""
        with self._changed:
            if self._closing:
                raise ModelError("the server is stopping")
            if self.waiting >= self._most:
                self._drop_given_up()
            if self.waiting >= self._most:
                raise TooMany(self.waiting)
            self._scorings.extend(task for task in tasks if isinstance(task, Scoring))
            self._generations.extend(task for task in tasks if isinstance(task, Generation))
            self._calls.extend(task for task in tasks if isinstance(task, Call))
            self._changed.notify()

    def close(self) -> None:
        """Finish all tasks, then end the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def works(self) -> bool | None:
        """Whether its thread works; None: it has not been started."""
        return None if self._thread.ident is None else self._thread.is_alive()

    @property
    def waiting(self) -> int:
        """The number of tasks that wait."""
        return len(self._scorings) + len(self._generations) + len(self._calls)

    @property
    def generating(self) -> int:
        """The number of requests whose texts are being generated."""
        return len(self._running)

    def _run(self) -> None:
        while self._wait():
            self._score_all(self._next_scorings())
            self._begin_calls()
            self._call_one()
            self._begin_generations()
            for _ in range(len(self._running)):
                running = self._running.popleft()
                if running.step(self._observer):
                    self._running.append(running)

    def _wait(self) -> bool:
        """Wait for something to do. Returns whether there is any; there is not if the worker is closing."""
        with self._changed:
            if self._running or self._called:
                return True
            self._changed.wait_for(lambda: self.waiting or self._closing)
            until = time.monotonic() + self._seconds
            while not self._closing and self.waiting < self._expected and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)
            return self.waiting > 0

    def _next_scorings(self) -> list[Scoring]:
        """The texts to score next: in the order in which they came, up to a batch."""
        with self._changed:
            self._drop_given_up()
            tasks: list[Scoring] = []
            tokens = 0
            while self._scorings and (not tasks or tokens + self._scorings[0].tokens <= BATCH):
                tasks.append(self._scorings.popleft())
                tokens += tasks[-1].tokens
            return tasks

    def _begin_calls(self) -> None:
        with self._changed:
            while self._calls and len(self._called) < CALLED_AT_ONCE:
                self._called.append(Turns(self._calls.popleft(), self._has_others))

    def _call_one(self) -> None:
        """One turn of one function a round, so that scoring and generation wait for no more than one."""
        if self._called:
            turns = self._called.popleft()
            if turns.step():
                self._called.append(turns)

    def _has_others(self) -> bool:
        """Whether there is work beside the function whose turn it is."""
        return bool(self.waiting or self._running or self._called)

    def _begin_generations(self) -> None:
        with self._changed:
            while self._generations and len(self._running) < AT_ONCE:
                self._running.append(_Running(self._generations.popleft()))

    def _drop_given_up(self) -> None:
        """Remove the tasks whose results nobody waits for. The lock is held."""
        for queue in (self._scorings, self._generations, self._calls):
            for task in [task for task in queue if task.given_up]:
                queue.remove(task)  # pyrefly: ignore[bad-argument-type]
                task.fail(GivenUp())

    def _score_all(self, tasks: list[Scoring]) -> None:
        """Score what waits. Clients that ask for one text after another are then expected to ask again."""
        began, self._in_hand = time.monotonic(), len(tasks)
        for group in _groups(tasks):
            self._score(group)
        self._seconds = min(LONGEST, RETURNING * (time.monotonic() - began))

    def _score(self, group: list[Scoring]) -> None:
        """Score the texts of several tasks as one forest. If that fails, each task alone, so that one cannot harm another."""
        try:
            scores = scored(group, self._observer)
        except GivenUp as error:
            for task in group:
                task.fail(error)
        except BaseException as error:
            if len(group) == 1:
                group[0].fail(error)
                return
            for task in group:
                self._score([task])
        else:
            self._expected = self._in_hand + self.waiting  # before the first client can ask again
            for task, own in zip(group, scores, strict=True):
                task.succeed(own)


class Observer:
    """Is called with what the worker has done. These methods do nothing."""

    def scored(self, requests: int, scores: Scores) -> None:
        """A forest was computed."""

    def generated(self, tokens: int) -> None:
        """Tokens were generated."""


def scored(group: Sequence[Scoring], observer: Observer) -> list[Scores]:
    """The scores of each task, computed as one forest. The tasks have the same model and conditions."""
    lm, how, top = group[0].lm, group[0].conditions, max(task.top for task in group)

    def check(*_: int) -> None:
        if all(task.given_up for task in group):
            raise GivenUp

    settings = Settings(top, how.window, how.stride, None, check, how.temperature, last_n=how.last_n)
    targets: list[Any] = []
    if any(task.targets is not None for task in group):
        targets = [each for task in group for each in task.targets or [None] * len(task.requests)]
    requests = [request for task in group for request in task.requests]
    scores = lm.scorer.score(requests, settings, start=how.start, end=how.end, targets=targets)
    observer.scored(len(group), scores)
    parts, first = [], 0
    for task in group:
        parts.append(scores.part(slice(first, first + len(task.requests))))
        first += len(task.requests)
    return parts


def _groups(tasks: Iterable[Scoring]) -> Iterator[list[Scoring]]:
    """Tasks that can be scored in one forest. Those of models without row invariance are alone."""
    groups: dict[tuple[int, Conditions, int], list[Scoring]] = {}
    for task in tasks:
        many = task.top if task.top > FEW else 0  # all texts of a forest get the alternatives of the one that wants most
        groups.setdefault((id(task.lm), task.conditions, many), []).append(task)
    for group in groups.values():
        yield from [group] if group[0].lm.invariant else ([task] for task in group)


class _Running:
    """A generation of which some tokens may have been generated."""

    def __init__(self, task: Generation) -> None:
        self.task = task
        self._stream: Stream | None = None

    def step(self, observer: Observer) -> bool:
        """Generate one more token of each text. Returns whether there may be more."""
        task = self.task
        try:
            if task.given_up:
                raise GivenUp
            stream = self._stream = self._stream or task.lm.stream(**task.options)
            for _ in range(self._texts):
                step: Step | None = next(stream, None)
                if step is None:
                    task.succeed(stream.texts)
                    return False
                observer.generated(1)
                if task.on_step is not None:
                    task.on_step(step)
            return True
        except BaseException as error:
            if self._stream is not None:
                self._stream.close()
            task.fail(error)
            return False

    @property
    def _texts(self) -> int:
        """The number of texts that are generated at the same time."""
        return self.task.options.get("n") or 1
