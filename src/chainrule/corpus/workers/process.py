"""A worker in a process of its own: it answers calls that come on standard input, and ends when that is closed.

Messages are pickled, between this program and its own child only. A call is a tuple: a method of `Worker`, and its arguments.
An answer is "result" with a value, "warning" with a sentence, or "error" with an exception.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import sys
import threading
import traceback
import warnings
from typing import Any, BinaryIO

from chainrule.corpus.workers.worker import Worker
from chainrule.errors import ChainruleError, ModelError

METHODS = ("score", "count", "time", "use", "gpus")


def main() -> None:
    """Answer calls until standard input is closed."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # the parent decides when a worker ends
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print must not come between the answers
    calls: queue.SimpleQueue[tuple[str, tuple[Any, ...]]] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(sys.stdin.buffer, calls), daemon=True).start()
    answer = _Answers(out)
    warnings.simplefilter("always", UserWarning)
    warnings.showwarning = lambda message, category, *_, **__: answer.warn(message, category)
    worker: Worker | None = None
    while True:
        method, arguments = calls.get()
        try:
            if method == "load":
                worker = Worker.load(*arguments)
                result: Any = worker.about
            else:
                result = _call(worker, method, arguments)
        except ChainruleError as error:
            answer.send("error", error)
        except BaseException as error:
            traceback.print_exc()
            answer.send("error", ModelError(f"a worker failed: {type(error).__name__}: {error}"))
        else:
            answer.send("result", result)


def _call(worker: Worker | None, method: str, arguments: tuple[Any, ...]) -> Any:
    if worker is None or method not in METHODS:
        raise ValueError(f"there is no call {method!r}, or no model was loaded")
    return getattr(worker, method)(*arguments)


def _receive(stream: BinaryIO, calls: queue.SimpleQueue[tuple[str, tuple[Any, ...]]]) -> None:
    """Pass calls on. When the parent has ended, also by kill -9, this process ends at once."""
    try:
        while True:
            calls.put(pickle.load(stream))
    except BaseException:
        os._exit(0)


class _Answers:
    """Writes answers. A warning is sent once."""

    def __init__(self, out: BinaryIO) -> None:
        self._out, self._warned = out, set[str]()

    def send(self, kind: str, value: Any) -> None:
        try:
            pickle.dump((kind, value), self._out, protocol=5)
            self._out.flush()
        except OSError:  # the parent has ended
            os._exit(0)

    def warn(self, message: Any, category: type[Warning]) -> None:
        sentence = str(message)
        if issubclass(category, UserWarning) and sentence not in self._warned:
            self._warned.add(sentence)
            self.send("warning", sentence)


if __name__ == "__main__":
    main()
