"""A yes or no with its reason."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Verdict:
    """Whether something holds, with the reason. In a condition it is true or false accordingly."""

    holds: bool
    reason: str

    def __bool__(self) -> bool:
        return self.holds
