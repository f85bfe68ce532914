"""An iterator that a thread runs ahead of its reader, so that workers do not wait while documents are read."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

Item = TypeVar("Item")
_END = object()


def ahead(items: Iterable[Item], most: int) -> Iterator[Item]:
    """The items in order, at most `most` of them made before they are taken. An exception of `items` comes in its place."""
    made: queue.Queue[Any] = queue.Queue(most)
    closed = threading.Event()

    def put(value: Any) -> bool:
        while not closed.is_set():
            try:
                made.put(value, timeout=0.2)
                return True
            except queue.Full:
                continue
        return False

    def run() -> None:
        try:
            for item in items:
                if not put((None, item)):
                    return
            put((None, _END))
        except BaseException as error:
            put((error, None))

    threading.Thread(target=run, daemon=True).start()
    try:
        while True:
            error, item = made.get()
            if error is not None:
                raise error
            if item is _END:
                return
            yield item
    finally:
        closed.set()
