"""An answer of yes or no, with its reason."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Verdict:
    """Whether something holds, and why, or why not; true or false as it stands."""

    holds: bool
    reason: str

    def __bool__(self) -> bool:
        return self.holds
