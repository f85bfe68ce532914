"""A histogram with round bounds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.corpus.scored.ranks import quantile

_BINS = 40  # about
_ROUND = (1.0, 2.0, 2.5, 5.0, 10.0)  # the widths of bins, times a power of ten


@dataclass(frozen=True)
class Histogram:
    """`counts[i]` documents have a value from `bounds[i]` on, and below `bounds[i + 1]`; the last bin includes its upper bound.

    under and over: finite values outside the bounds. infinite: documents with an impossible event.
    """

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    under: int
    over: int
    infinite: int

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "bounds": list(self.bounds),
            "counts": list(self.counts),
            "under": self.under,
            "over": self.over,
            "infinite": self.infinite,
        }


def round_bounds(ascending: np.ndarray) -> tuple[float, ...]:
    """Round bounds of about 40 bins from the 0.5 to the 99.5 percentile of the finite values; none if there are none.

    ascending: sorted, without NaN.
    """
    finite = ascending[np.isfinite(ascending)]
    if not len(finite):
        return ()
    low, high = quantile(finite, 1, 200), quantile(finite, 199, 200)
    # At least 1e-9 of the values: the bounds of narrower bins would be equal when they are rounded.
    width, digits = _round_width(max((high - low) / _BINS, 1e-6, 1e-9 * max(abs(low), abs(high))))
    first, last = math.floor(low / width), math.ceil(high / width)
    last = max(last, first + 1)
    return tuple(round(place * width, digits) for place in range(first, last + 1))


def histogram(ascending: np.ndarray, bounds: tuple[float, ...]) -> Histogram:
    """The counts of sorted values without NaN; bounds: as `round_bounds` gives them."""
    finite = ascending[np.isfinite(ascending)]
    infinite = len(ascending) - len(finite)
    if not bounds:
        return Histogram((), (), 0, 0, infinite)
    counts = np.histogram(finite, bins=np.array(bounds))[0]
    under, over = int((finite < bounds[0]).sum()), int((finite > bounds[-1]).sum())
    return Histogram(bounds, tuple(counts.tolist()), under, over, infinite)


def _round_width(width: float) -> tuple[float, int]:
    """The round width that is the nearest in ratio, and the decimals that its multiples have."""
    power = math.floor(math.log10(width))
    scaled = width / 10.0**power
    nearest = min(_ROUND, key=lambda each: abs(math.log(each / scaled)))
    return float(f"{nearest}e{power}"), max(0, 1 - power)
