"""The temperature T at which the factors of a computation are a user's numbers: softmax(logits / T).

With β = 1/T, a factor is f(β) = β z − log Σ exp(β z_v), which is concave, with the slope z − E[z] = T (f + entropy). So each
tangent bounds it from above. The bounds of all tokens leave an interval for β, which is empty for most other numbers: no
further computation is needed to refuse them. Otherwise Newton's method for all tokens together, within the interval, finds β.

Shapes: N tokens that are compared.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import cast

import numpy as np

from chainrule._types import Floats
from chainrule.comparison.alignment import Alignment
from chainrule.comparison.numbers import Numbers
from chainrule.comparison.score_call import Language, Result, ScoreCall, computed
from chainrule.comparison.units import Unit
from chainrule.results.comparison import Cause

COLDEST, HOTTEST = 0.1, 10.0
_FLOAT32 = 2.0**-22  # relative rounding of the user's numbers
_LEAST = 3  # numbers: one of them is used up by the temperature
_CHANCE = 1e-5  # that the other numbers agree by coincidence
_ROUNDS = 20
_EXACT = 1e-6  # relative change of β that ends the search
_DIGITS = (1, 2, 3, 6)  # decimals of a temperature, the fewest first

At = Callable[[float], tuple[Floats, Floats]]  # the factors and entropies of the tokens at a temperature, in nats


def results_at(
    lm: Language, call: ScoreCall, base: Result, alignment: Alignment, unit: Unit, yours: Numbers, limit: float
) -> Iterator[tuple[float, Result]]:
    """The call at the temperatures that may give a user's numbers. base: the call at temperature 1.

    limit: difference of a factor that rounding explains, in nats.
    """
    values, half = yours.values, yours.rounding
    compared = np.isfinite(alignment.of(base.logprob_N)) & np.isfinite(values)
    by_word = alignment.cause is not None and alignment.cause.name == "words"
    if unit.nats is None or by_word or base.entropy_N is None or compared.sum() < _LEAST:
        return
    below, target, above = (unit.nats(values[compared] + by) for by in (-half, 0.0, half))
    if not np.isfinite(target).all():
        return
    tolerance = limit + _FLOAT32 * np.abs(target) + np.nan_to_num(np.abs(above - below), nan=np.inf)
    token, known = alignment.token_M[compared], {1.0: base}

    def result_at(value: float) -> Result:
        if value not in known:
            known[value] = computed(lm, replace(call, temperature=value))
        return known[value]

    def at(value: float) -> tuple[Floats, Floats]:
        result = result_at(value)
        return result.logprob_N[token], cast("Floats", result.entropy_N)[token]  # every score has entropies

    found = _solved(at, target, tolerance)
    for value in dict.fromkeys(round(found, digits) for digits in _DIGITS) if found else ():
        if value not in (0, 1):
            yield value, result_at(value)


def _solved(at: At, target_N: Floats, tolerance_N: Floats) -> float | None:
    beta, low, high = 1.0, 1 / HOTTEST, 1 / COLDEST
    for _ in range(_ROUNDS):
        logprob_N, entropy_N = at(1 / beta)
        gap_N, slope_N = target_N - logprob_N, (logprob_N + entropy_N) / beta
        rises, falls = slope_N > 0, slope_N < 0
        with np.errstate(invalid="ignore", over="ignore"):
            least_N = (gap_N - tolerance_N) / slope_N  # where the tangent reaches the target
        low = max(low, beta + least_N[rises].max(initial=-math.inf))
        high = min(high, beta + least_N[falls].min(initial=math.inf))
        if not low <= high or not (rises | falls).any():
            return None
        step = float(gap_N @ slope_N / (slope_N @ slope_N))
        nearer = min(max(beta + step, low), high)
        if abs(nearer - beta) <= _EXACT * beta:
            return 1 / nearer
        beta = nearer
    return None


def cause_of(temperature: float) -> Cause:
    return Cause(
        f"temperature {temperature:g}",
        f"the logits were divided by a temperature of {temperature:g} before the softmax",
        f"take log_softmax of the logits themselves, or compare with score(text, temperature={temperature:g})",
    )


def is_evidence(chance_N: Floats) -> bool:
    """Whether agreement is no coincidence: one parameter was fitted, so one number proves nothing."""
    return len(chance_N) >= _LEAST and bool(np.sort(chance_N)[1:].prod() < _CHANCE)
