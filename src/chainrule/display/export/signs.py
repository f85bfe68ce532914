"""Numbers and formulas in the signs of Unicode: −4.36382 × 10⁻⁷, x₂."""

from __future__ import annotations

import re

_SUPER = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
_SUB = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def typeset(number: str) -> str:
    """A number of `results.numbers`, such as -4.36382e-07, 1 - 2.3e-09 or -inf."""
    number = re.sub(r"e([+-]\d+)", lambda m: " × 10" + str(int(m[1])).translate(_SUPER), number)
    return number.replace("-", "−").replace("inf", "∞")


def indexed(name: str) -> str:
    """x_2 as x₂."""
    letter, _, index = name.partition("_")
    return letter + index.translate(_SUB)
