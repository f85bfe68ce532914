"""Numbers in the text of a lesson, and the tokens of exercises."""

from __future__ import annotations

import math

from chainrule.pages.tokens import Tokens
from chainrule.results.score import Score

MINUS = str.maketrans("-", "−")


def decimals(x: float, n: int = 6) -> str:
    """A number with n decimals, in the signs of mathematics."""
    if math.isinf(x):
        return "∞" if x > 0 else "−∞"
    text = f"{x:.{n}f}"
    return (text.removeprefix("-") if float(text) == 0 else text).translate(MINUS)


def digits(x: float, n: int = 6) -> str:
    """A number with at most n significant digits, without zeros at its end."""
    return f"{x:.{n}g}".translate(MINUS)


def listed(numbers: list[float]) -> str:
    """A product: 0.1 · 0.5 · 0.8."""
    return " · ".join(map(digits, numbers))


def visible_tokens(score: Score, most: int) -> list[str]:
    """The first tokens of a score, with spaces that can be seen."""
    tokens = Tokens(score.tokenizer)
    return [tokens.names[str(tokens.add(id))] for id in score.ids[:most].tolist()]
