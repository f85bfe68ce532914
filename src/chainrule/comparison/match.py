"""A computation of log probabilities in an alignment and a unit, and whether a user's numbers are the same up to rounding.

Shapes: M numbers of the user, C of them compared.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from chainrule._types import Floats
from chainrule.comparison.alignment import Alignment
from chainrule.comparison.score_call import Result
from chainrule.comparison.units import Unit
from chainrule.results.comparison import Cause

_FLOAT32 = 2.0**-22  # relative rounding of the user's numbers


@dataclass(frozen=True, eq=False)
class Match:
    """A computation: its tokens, alignment, unit and causes, with the numbers that it gives and their bounds."""

    result: Result
    alignment: Alignment
    unit: Unit
    causes: tuple[Cause, ...]
    expected_M: Floats
    low_M: Floats
    high_M: Floats

    @property
    def cost(self) -> float:
        """The number of causes, with a preference for those that are computed over numbers that are left out."""
        return len(self.causes) + 0.5 * (self.alignment.cause is not None)

    @property
    def tolerance(self) -> float:
        """The largest difference that is allowed, in the unit."""
        with np.errstate(invalid="ignore"):
            return float(np.nanmax(np.maximum(self.high_M - self.expected_M, self.expected_M - self.low_M), initial=0.0))

    def fits(self, values_M: Floats) -> bool:
        """Whether every number that is compared is within its bounds."""
        compared = ~np.isnan(self.expected_M)
        if not compared.any() or (compared & np.isnan(values_M)).any():
            return False
        close = (values_M == self.expected_M) | ((self.low_M <= values_M) & (values_M <= self.high_M))
        return bool(close[compared].all())

    def shares(self, values_M: Floats) -> Floats:
        """The differences as shares of the largest that are allowed, in nats where the unit has them; shape (C,)."""
        expected, low, high, values = self._in_nats(values_M)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.nan_to_num(2 * np.abs(values - expected) / np.abs(high - low), nan=1.0)

    def chances(self) -> Floats:
        """The chance of each number that is compared that another of the size of these is within its bounds; shape (C,).

        It is that of the log probability where the unit has one: perplexities and probabilities of tokens differ in size so
        much that most are close to 0 beside the largest.
        """
        expected, low, high = self._in_nats()
        spread = 4 * float(np.std(expected)) if len(expected) > 2 else float(np.abs(expected).max(initial=0.0))
        width = np.nan_to_num(np.abs(high - low), nan=np.inf)
        return np.minimum(1.0, width / spread) if spread else np.ones(len(expected))

    def _in_nats(self, *others_M: Floats) -> list[Floats]:
        """The expected numbers that are compared and finite, their bounds, and others of the same tokens."""
        compared = np.isfinite(self.expected_M)
        return [self._nats(each_M[compared]) for each_M in (self.expected_M, self.low_M, self.high_M, *others_M)]

    def _nats(self, values: Floats) -> Floats:
        return values if self.unit.nats is None else self.unit.nats(values)


def matched(
    result: Result, alignment: Alignment, unit: Unit, causes: tuple[Cause, ...], limit: float, rounding: float
) -> Match:
    """The numbers of a computation, with bounds for a difference of `limit` nats of a factor and `rounding` of a number."""
    added = tuple(cause for cause in (alignment.cause, unit.cause) if cause is not None)
    logprob_N = result.logprob_N
    several = unit.whole or unit.of is np.cumsum
    step = limit / math.sqrt(len(logprob_N)) if several else limit  # roundings of different tokens are independent
    expected_M, *others = (_aligned(alignment, unit, logprob_N + by) for by in (0.0, step, -step))
    finite = [np.where(np.isfinite(other), other, expected_M) for other in others]  # a perplexity may overflow
    slack_M = _FLOAT32 * np.where(np.isfinite(expected_M), np.abs(expected_M), 0.0) + 1.001 * rounding
    low_M, high_M = np.min([expected_M, *finite], 0) - slack_M, np.max([expected_M, *finite], 0) + slack_M
    return Match(result, alignment, unit, (*causes, *added), expected_M, low_M, high_M)


def _aligned(alignment: Alignment, unit: Unit, logprob_N: Floats) -> Floats:
    if unit.whole:
        return unit.of(logprob_N)
    if alignment.cause is not None and alignment.cause.name == "words":
        return unit.of(alignment.of(logprob_N))
    return alignment.of(unit.of(logprob_N))
