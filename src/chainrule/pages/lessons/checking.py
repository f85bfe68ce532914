"""Checking an answer to an exercise. exercise.js has the same rules.

tests/pages/data/exercise_cases.json has cases for both.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from chainrule.errors import InputError
from chainrule.pages.lessons.exercises import Exercise, near
from chainrule.verdict import Verdict

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,3})?", re.ASCII)
_INFINITE = {"inf": "inf", "infinity": "inf", "∞": "inf"}


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
    """The number that was typed: .04, 0,04, −4.605, 4/100, 4 %, 4e-2, -inf. None if it is none."""
    plain = re.sub(r"\s", "", text.lower().replace("−", "-").replace("–", "-"))
    sign, _, name = plain.rpartition("-") if plain.startswith("-") else plain.rpartition("+")
    if name in _INFINITE and len(sign + name) == len(name):
        return float("-inf" if plain.startswith("-") else "inf")
    if plain.count(",") == 1 and "." not in plain:
        plain = plain.replace(",", ".")
    percent, plain = plain.endswith("%"), plain.removesuffix("%")
    parts = plain.split("/")
    if len(parts) > 2 or not all(_NUMBER.fullmatch(part) for part in parts):
        return None
    above, below = float(parts[0]), float(parts[1]) if len(parts) == 2 else 1.0
    return None if below == 0 else above / below / (100 if percent else 1)


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
