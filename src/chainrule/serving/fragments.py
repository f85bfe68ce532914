"""JSON from pieces: what is said of a token is encoded once, and joined with the numbers of each place.

A reply has an object for each token and each of its alternatives. Objects of Python for all of them take ten times as long.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from chainrule.serving.wire import LOWEST, encoded


class Fragments:
    """The beginnings of objects, by token. Each is made when it is first needed."""

    def __init__(self, name_of: Callable[[int], str], bytes_of: Callable[[int], bytes]) -> None:
        self._name_of, self._bytes_of = name_of, bytes_of
        self._names: dict[int, bytes] = {}
        self._entries: dict[int, bytes] = {}

    def name(self, id: int) -> bytes:
        """The name of a token, as a JSON string."""
        if (name := self._names.get(id)) is None:
            name = self._names[id] = encoded(self._name_of(id))
        return name

    def entry(self, id: int) -> bytes:
        """An object of a token, up to the value of its log probability."""
        if (entry := self._entries.get(id)) is None:
            about = {"id": id, "token": self._name_of(id), "bytes": list(self._bytes_of(id))}
            entry = self._entries[id] = encoded(about)[:-1] + b',"logprob":'
        return entry


def numbers(values: Sequence[float | None]) -> list[bytes]:
    """Log probabilities as JSON, each by itself. −∞ is −9999.0."""
    if not values:
        return []
    if -math.inf in values:
        values = [LOWEST if value == -math.inf else value for value in values]
    return encoded(values)[1:-1].split(b",")


def listed(items: Sequence[bytes]) -> bytes:
    """A JSON array."""
    return b"[" + b",".join(items) + b"]"
