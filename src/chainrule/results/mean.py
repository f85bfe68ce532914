"""The mean of some numbers, with its t interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True)
class Mean:
    """The mean of n numbers, with its 95 % interval: mean ± t · s / √n.

    s is the standard deviation (divisor n − 1), and t the quantile of Student's distribution with n − 1 degrees of freedom.
    The interval is None for fewer than two numbers and for numbers that are not finite.
    """

    n: int
    mean: float
    interval: tuple[float, float] | None


def mean(values: Sequence[float]) -> Mean:
    """The mean of one or more numbers, infinite ones included."""
    n, centre = len(values), math.fsum(values) / len(values)
    if n < 2 or not math.isfinite(centre):
        return Mean(n, centre, None)
    variance = math.fsum((value - centre) ** 2 for value in values) / (n - 1)
    half = student_quantile(n - 1) * math.sqrt(variance / n)
    return Mean(n, centre, (centre - half, centre + half))


@cache
def student_quantile(freedom: int, level: float = 0.95) -> float:
    """t with Pr(|T| ≤ t) = level, T having Student's distribution with so many degrees of freedom."""
    low, high = 0.0, 1.0
    while _within(high, freedom) < level:
        high *= 2
    while (middle := (low + high) / 2) not in (low, high):
        low, high = (middle, high) if _within(middle, freedom) < level else (low, middle)
    return high


def _within(t: float, freedom: int) -> float:
    """Pr(|T| ≤ t), by the finite sums for whole degrees of freedom (Abramowitz & Stegun 26.7.3 and 26.7.4)."""
    angle = math.atan2(t, math.sqrt(freedom))
    cosine = math.cos(angle)
    odd = freedom % 2
    term, total = (cosine if odd else 1.0), 0.0
    for k in range(1 + odd, freedom, 2):
        total += term
        term *= cosine * cosine * k / (k + 1)
    return 2 / math.pi * (angle + math.sin(angle) * total) if odd else math.sin(angle) * total
