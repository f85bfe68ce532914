"""Accuracy: the share of successes, with its Wilson interval."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist


def wilson(successes: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """The Wilson score interval of a proportion (Wilson 1927), without continuity correction; (0, 1) for n = 0."""
    if not n:
        return 0.0, 1.0
    z, share = NormalDist().inv_cdf((1 + level) / 2), successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return (0.0 if successes == 0 else centre - half), (1.0 if successes == n else centre + half)


@dataclass(frozen=True)
class Accuracy:
    """The successes among n trials. A tie is no success, and it counts in n."""

    measure: str  # what decides: "logprob", "per_token" or "per_byte" of a pair, or the formula of a prediction
    group: str | None  # the phenomenon; None: all
    successes: int
    ties: int
    n: int

    @property
    def accuracy(self) -> float:
        """successes / n; NaN for n = 0."""
        return self.successes / self.n if self.n else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % Wilson interval of the accuracy."""
        return wilson(self.successes, self.n)

    @property
    def accuracy_low(self) -> float:
        return self.interval[0]

    @property
    def accuracy_high(self) -> float:
        return self.interval[1]

    def describe(self) -> str:
        """ "0.950 (95 % interval 0.764 to 0.991), 19 of 20, 1 tie"."""
        ties = "" if not self.ties else f", {self.ties} tie{'s' * (self.ties != 1)}"
        interval = f"95 % interval {self.accuracy_low:.3f} to {self.accuracy_high:.3f}"
        return f"{self.accuracy:.3f} ({interval}), {self.successes} of {self.n}{ties}"


def merged(parts: Iterable[Sequence[Accuracy]]) -> list[Accuracy]:
    """The accuracies of all parts together, the groups in order of appearance and all trials first."""
    counts: dict[str | None, dict[str, Accuracy]] = {}
    for part in parts:
        for own in part:
            group = counts.setdefault(own.group, {})
            old = group.get(own.measure, Accuracy(own.measure, own.group, 0, 0, 0))
            successes, ties, n = old.successes + own.successes, old.ties + own.ties, old.n + own.n
            group[own.measure] = Accuracy(own.measure, own.group, successes, ties, n)
    return [accuracy for group in counts.values() for accuracy in group.values()]
