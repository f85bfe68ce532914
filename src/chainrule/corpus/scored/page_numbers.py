"""Numbers, names and ticks of the page and of the chart of a corpus."""

from __future__ import annotations

import math

from chainrule.corpus.scored.groups import Key
from chainrule.display.export.signs import typeset

UNNAMED, EMPTY = "(none)", "(empty)"
_STEPS = (1.0, 2.0, 5.0, 10.0)


def group_name(value: Key) -> str:
    """The name of a group in a table or a legend."""
    return UNNAMED if value is None else EMPTY if value == "" else str(value)


def shown_number(number: float | None, digits: int = 3) -> str:
    """With separators of thousands: an integer as it is, another number with this many decimals; – for None."""
    if number is None:
        return "–"
    if isinstance(number, int) or not math.isfinite(number):
        return typeset(f"{number:,}")
    small = number and abs(number) < 0.5 * 10.0**-digits
    return typeset(f"{number:.2g}" if small or abs(number) >= 1e12 else f"{number:,.{digits}f}")


def shown_bound(number: float) -> str:
    """A bound of a bin, which is round."""
    return typeset(f"{number:.12g}")


def ticks(low: float, high: float, most: int) -> list[float]:
    """At most `most` round numbers with equal distances from `low` to `high`."""
    power = math.floor(math.log10((high - low) / most))
    for factor in (*_STEPS, 20.0, 50.0, 100.0):
        step = float(f"{factor}e{power}")
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first < most:
            break
    return [round(place * step, max(0, 1 - power)) for place in range(first, last + 1)]
