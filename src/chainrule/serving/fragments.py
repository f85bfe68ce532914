"""JSON from pieces: what is said of a token is encoded once, and joined with the numbers of each place.

A reply has an object for each token and each of its alternatives. Objects of Python for all of them take ten times as long.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from chainrule.serving.wire import LOWEST, encoded


class _Memo(dict[int, bytes]):
    """Values by token, each made when it is first needed. Two threads may make the same one."""

    def __init__(self, make: Callable[[int], bytes]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, id: int) -> bytes:
        value = self[id] = self._make(id)
        return value


class Fragments:
    """What is said of each token. names: its name, as a JSON string; entries: an object, up to its log probability."""

    def __init__(self, name_of: Callable[[int], str], bytes_of: Callable[[int], bytes]) -> None:
        def entry(id: int) -> bytes:
            about = {"id": id, "token": name_of(id), "bytes": list(bytes_of(id))}
            return encoded(about)[:-1] + b',"logprob":'

        self.names = _Memo(lambda id: encoded(name_of(id)))
        self.entries = _Memo(entry)


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
