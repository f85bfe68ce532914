"""Numbers for people, in plain characters: a fixed number of digits, but another form where rounding would give 0 or 1."""

from __future__ import annotations

import math

_SMALLEST = -690.0  # a log probability below which exp is subnormal, or 0


def probability(logprob: float, digits: int = 6) -> str:
    """exp(logprob) with this many significant digits, such as 4.36382e-07, however small it is. Near 1 it is 1 - 2.3e-09."""
    if logprob == -math.inf:
        return "0"
    if logprob < _SMALLEST:
        exponent = math.floor(logprob / math.log(10))
        mantissa = f"{math.exp(logprob - exponent * math.log(10)):.{digits}g}"
        return f"{mantissa}e{exponent}" if float(mantissa) < 10 else f"1e{exponent + 1}"
    number = f"{math.exp(logprob):.{digits}g}"
    return f"1 - {-math.expm1(logprob):.2g}" if number == "1" and logprob < 0 else number


def decimal(number: float, digits: int = 6) -> str:
    """A number with this many decimals. If they would all be 0, two significant digits, such as -2.3e-09."""
    if not math.isfinite(number):
        return str(number)
    text = f"{number + 0.0:.{digits}f}"  # + 0.0: no minus sign before 0
    return f"{number:.2g}" if number and not float(text) else text
