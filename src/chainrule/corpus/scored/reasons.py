"""The reasons for which documents were not scored, grouped."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

_MOST = 10  # reasons that are shown
_KEPT = 1000  # different reasons that are counted
_OTHER = "other reasons"
# "line 5 of my file.txt: ", "row 5 of x.parquet ": a name has an extension, or no spaces
_PLACE = re.compile(
    r"(?:line|row|item|document) \d+(?: \(line \d+\))?(?: of (?:standard input|[^:]*?\.\w+(?=:? )|\S+?(?=:? )))?:? "
)


@dataclass(frozen=True)
class Reason:
    """Documents that were not scored for one reason. example: the message of the first of them."""

    reason: str
    documents: int
    example: str

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"reason": self.reason, "documents": self.documents, "example": self.example}


class Reasons:
    """Counts reasons. Of more than 1000 different ones, the later ones are counted together."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._examples: dict[str, str] = {}

    def add(self, messages: Iterable[str]) -> None:
        for message in messages:
            reason = general(message)
            if reason not in self._counts and len(self._counts) >= _KEPT:
                reason = _OTHER
            self._counts[reason] = self._counts.get(reason, 0) + 1
            self._examples.setdefault(reason, message)

    def most_frequent(self) -> tuple[Reason, ...]:
        """At most 10, the most frequent first; of equally frequent ones, the one that came first."""
        ordered = sorted(self._counts.items(), key=lambda item: -item[1])
        return tuple(Reason(reason, count, self._examples[reason]) for reason, count in ordered[:_MOST])


def general(message: str) -> str:
    """The message without the place that it begins with, and with # for each number."""
    place = _PLACE.match(message)
    return re.sub(r"\d+", "#", message[place.end() :] if place else message)
