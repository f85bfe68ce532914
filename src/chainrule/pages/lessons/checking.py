"""Checking an answer to an exercise. exercise.js has the same rules.

tests/pages/data/exercise_cases.json has cases for both.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

from chainrule.errors import InputError
from chainrule.pages.lessons.exercises import Exercise, near
from chainrule.verdict import Verdict

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,3})?", re.ASCII)
_POWER = re.compile(r"(.+?)[×*·x]10\^?([+-]?\d{1,3})", re.ASCII)
_INFINITE = re.compile(r"[+-]?(∞|inf|infinity)")
_ASCII = str.maketrans("−–⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "---0123456789")


def check(exercise: Exercise, answer: Any) -> Verdict:
    """Whether the answer is right, with the explanation or a message about the mistake.

    answer: for "number" a number or the text that was typed, for "choice" an index, for "arrange" the indices of the items in
    their order, for "cells" the positions of each row, for "match" an index for each left item; None for what is not chosen.
    Raises InputError for an exercise of an unknown kind.
    """
    if exercise["kind"] not in _CHECKS:
        raise InputError(f"there is no exercise of the kind {exercise['kind']!r}, only {', '.join(_CHECKS)}")
    message = _CHECKS[exercise["kind"]](exercise, answer)
    return Verdict(True, exercise["explanation"]) if message is None else Verdict(False, message)


def parse_number(text: str) -> float | None:
    """The number that was typed: .04, 0,04, −4.605, 4/100, 4 %, 4e-2, 4.4 × 10⁻⁷, −∞. None if it is none."""
    plain = re.sub(r"\s", "", text).translate(_ASCII).lower()
    if _INFINITE.fullmatch(plain):
        return -math.inf if plain.startswith("-") else math.inf
    if plain.endswith("%"):
        share = _fraction(plain[:-1])
        return None if share is None else share / 100
    power = _POWER.fullmatch(plain)
    return _fraction(plain) if power is None else _decimal(f"{power[1]}e{power[2]}")


def _fraction(text: str) -> float | None:
    """A number, or one number over another."""
    numbers = [_decimal(part) for part in text.split("/")]
    if len(numbers) > 2 or None in numbers:
        return None
    above, below = [*numbers, 1.0][:2]
    return None if not below or above is None else above / below


def _decimal(text: str) -> float | None:
    """A number with a decimal point or comma."""
    point = text.replace(",", ".") if text.count(",") == 1 and "." not in text else text
    value = float(point) if _NUMBER.fullmatch(point) else math.inf
    return value if math.isfinite(value) else None


# Each says what is wrong, and None if nothing is


def _number(exercise: Exercise, answer: Any) -> str | None:
    x = parse_number(answer) if isinstance(answer, str) else answer
    if x is None:
        return "That is no number. Type it like 0.04, −4.605 or 4/100."
    if near(x, float(exercise["answer"]), exercise["tolerance"]):
        return None
    known = (m["message"] for m in exercise["mistakes"] if near(x, float(m["answer"]), exercise["tolerance"]))
    return next(known, "That is not the number. Write down each factor, and check each with the table.")


def _choice(exercise: Exercise, answer: int | None) -> str | None:
    if answer is None:
        return "Choose one of the answers."
    return None if answer == exercise["answer"] else exercise["messages"][answer]


def _arrange(exercise: Exercise, answer: Sequence[int]) -> str | None:
    items = exercise["items"]
    wrong = [place for place, i in enumerate(answer) if items[i] != items[place]]
    return f"Not yet: from place {wrong[0] + 1} on, the order is another." if wrong else None


def _cells(exercise: Exercise, answer: Sequence[Sequence[int]]) -> str | None:
    wrong = [n + 1 for n, (row, known) in enumerate(zip(answer, exercise["known"], strict=True)) if set(row) != set(known)]
    return f"Not yet: {_rows(wrong)}. A row has the tokens that are known before its own is predicted." if wrong else None


def _match(exercise: Exercise, answer: Sequence[int | None]) -> str | None:
    right = exercise["right"]
    pairs = zip(exercise["left"], answer, exercise["answer"], strict=True)
    wrong = [left for left, given, want in pairs if given is None or right[given] != right[want]]
    return f"Not yet: look again at {', '.join(wrong)}." if wrong else None


def _rows(numbers: list[int]) -> str:
    return f"row {numbers[0]} is wrong" if len(numbers) == 1 else f"rows {', '.join(map(str, numbers))} are wrong"


_CHECKS: dict[str, Callable[[Exercise, Any], str | None]] = {
    "number": _number,
    "choice": _choice,
    "arrange": _arrange,
    "cells": _cells,
    "match": _match,
}
