"""Quantiles of numbers, exact also where some are infinite."""

from __future__ import annotations

import math

import numpy as np


def quantile(ascending: np.ndarray, part: int, of: int) -> float:
    """The quantile part/of of sorted numbers without NaN, by linear interpolation, as numpy's default.

    The place in the numbers is computed with integers: 7/100 as a float gives the place 7.000000000000001 of 100. Between a
    finite and an infinite number lies the infinite one, and between −∞ and ∞ lies −∞.
    """
    place, rest = divmod((len(ascending) - 1) * part, of)
    low = float(ascending[place])
    if not rest:
        return low
    high = float(ascending[place + 1])
    if low == high or low == -math.inf:
        return low
    if high == math.inf:
        return high
    share = rest / of
    between = low + (high - low) * share if share < 0.5 else high - (high - low) * (1 - share)
    return min(max(between, low), high)
