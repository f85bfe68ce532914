"""A function that takes turns with other work on the models.

It runs in a thread of its own, which computes only while the model's thread waits for it: the two never compete for the cores.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from chainrule.serving.tasks import Call

TURN = 0.1  # seconds that a function computes before it lets others


class Turns:
    """A call, of which a part may have been done. Its function gives a turn up when it calls `check`."""

    def __init__(self, task: Call, others_wait: Callable[[], object]) -> None:
        """others_wait: whether there is other work; without any, the function keeps its turn."""
        self._task, self._others_wait = task, others_wait
        self._begin, self._end = threading.Semaphore(0), threading.Semaphore(0)  # of a turn
        self._done, self._until = False, 0.0
        self._thread = threading.Thread(target=self._run, name="chainrule-page", daemon=True)

    def step(self) -> bool:
        """Let the function compute for one turn. Returns whether there may be more."""
        if self._thread.ident is None:
            self._thread.start()
        self._until = time.monotonic() + TURN
        self._begin.release()
        self._end.acquire()
        return not self._done

    def _run(self) -> None:
        self._begin.acquire()
        try:
            self._task.check()
            self._task.succeed(self._task.function(self._check))
        except BaseException as error:
            self._task.fail(error)
        finally:
            self._done = True
            self._end.release()

    def _check(self, *_: int) -> None:
        """Raises GivenUp once nobody waits for the result."""
        self._task.check()
        if time.monotonic() >= self._until and self._others_wait():
            self._end.release()
            self._begin.acquire()
            self._task.check()
