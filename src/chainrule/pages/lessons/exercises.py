"""The exercises of a lesson: plain data for the page, with the answers that the library computed.

All texts are plain texts. `explanation` is shown after the right answer, `hint` on request. `check` (checking.py) and the page
(exercise.js) follow the same rules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from chainrule.errors import InputError
from chainrule.pages.numbers import strict

Exercise = dict[str, Any]


def number(
    question: str,
    answer: float,
    explanation: str,
    *,
    tolerance: float,
    unit: str = "",
    mistakes: Mapping[str, float] | None = None,
    hint: str | None = None,
) -> Exercise:
    """A number to type. tolerance: the largest absolute error. unit: "nats", "bits" or none.

    mistakes: what to say to each known wrong answer. Raises InputError for a mistake that would count as right.
    """
    wrong = [{"answer": strict(value), "message": message} for message, value in (mistakes or {}).items()]
    if any(near(value, answer, tolerance) for value in (mistakes or {}).values()):
        raise InputError(f"a mistake of the exercise {question!r} is within {tolerance} of its answer, {answer}")
    given = {"answer": strict(answer), "tolerance": tolerance, "unit": unit, "mistakes": wrong}
    return _exercise("number", question, explanation, hint) | given


def choice(question: str, choices: Mapping[str, str], answer: int, explanation: str, *, hint: str | None = None) -> Exercise:
    """One of several choices, each with what is said if it is chosen. answer: the index of the right one."""
    given = {"choices": list(choices), "answer": answer, "messages": list(choices.values())}
    return _exercise("choice", question, explanation, hint) | given


def arrange(
    question: str, items: Sequence[str], shuffled: Sequence[int], explanation: str, *, hint: str | None = None
) -> Exercise:
    """Items to put in order. items: in the right order. shuffled: the indices of the items as they are shown first."""
    if sorted(shuffled) != list(range(len(items))) or list(shuffled) == sorted(shuffled):
        raise InputError(f"shuffled must be another order of 0 … {len(items) - 1}, not {list(shuffled)}")
    return _exercise("arrange", question, explanation, hint) | {"items": list(items), "shuffled": list(shuffled)}


def cells(
    question: str,
    tokens: Sequence[str],
    order: Sequence[int],
    known: Sequence[Sequence[int]],
    explanation: str,
    *,
    hint: str | None = None,
) -> Exercise:
    """A grid: row n predicts the token at position order[n] from the tokens at the positions known[n]."""
    given = {"tokens": list(tokens), "order": list(order), "known": [list(row) for row in known]}
    return _exercise("cells", question, explanation, hint) | given


def match(
    question: str,
    pairs: Mapping[str, str],
    shown: Sequence[int],
    explanation: str,
    *,
    hint: str | None = None,
) -> Exercise:
    """Pairs to find. shown: the order in which the right sides are shown."""
    right = [list(pairs.values())[i] for i in shown]
    given = {"left": list(pairs), "right": right, "answer": [right.index(value) for value in pairs.values()]}
    return _exercise("match", question, explanation, hint) | given


def near(x: float, answer: float, tolerance: float) -> bool:
    """Whether x counts as the answer."""
    return x == answer or abs(x - answer) <= tolerance


def _exercise(kind: str, question: str, explanation: str, hint: str | None) -> Exercise:
    return {"kind": kind, "question": question, "hint": hint, "explanation": explanation}
