"""The answers of multiple-choice questions: which choice a value names, read in one way for all questions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.errors import InputError, short
from chainrule.text.questions import Question
from chainrule.text.templates import is_number

_WHOLE = re.compile(r"\s*(-?[0-9]{1,9})(?:\.0+)?\s*")  # other programs write 1.0 in a column with missing values
KINDS = ("label", "letter", "boolean", "number", "text")


def readings(question: Question, kind: str | None = None, first: int = 0) -> dict[str, int]:
    """The choice that the answer of a question names, by each kind of reading that is possible.

    kind: the only one to try. first: the number of the first choice. Raises InputError if the answer names no choice.
    """
    answer, size = question.answer, len(question.choices)
    text = str.__str__(answer) if isinstance(answer, str) else str(answer)
    found: dict[str, int | None] = {
        "label": _index(question.labels or [], text),
        "letter": _letter(text) if question.labels is None else None,
        "boolean": _boolean(answer) if size == 2 else None,
        "number": _number(answer, first),
        "text": None if is_number(answer) and not question.numeric else _index(question.choices, text),
    }
    own = {name: at for name, at in found.items() if at is not None and 0 <= at < size and kind in (None, name)}
    if not own:
        raise InputError(_no_choice(question, kind, first, found))
    return own


def agreed(possible: Sequence[dict[str, int] | None]) -> str | None:
    """The one reading of all answers; None if there is no answer. possible: `readings` of each question; None: no answer.

    Raises InputError, with the number of the question, if there is none, or if two of them name different choices.
    """
    kinds: list[str] | None = None
    for i, own in enumerate(possible):
        if own is None:
            continue
        left = [kind for kind in KINDS if kind in own and (kinds is None or kind in kinds)]
        if not left:
            before = " or ".join(kinds or ())
            raise InputError(
                f"the answer is a {' or '.join(own)}, but the answers before are each a {before}: write all in the same way", i
            )
        kinds = left
    if kinds is None:
        return None
    if "label" in kinds:  # labels that are numbers need not count from 0
        kinds = [kind for kind in kinds if kind != "number"]
    for i, own in enumerate(possible):
        if own is not None and len({own[kind] for kind in kinds}) > 1:
            ways = " or ".join(f"a {kind} (choice {own[kind]} from 0)" for kind in kinds)
            name = " or ".join(kinds)
            raise InputError(f"the answer can be {ways}: say which with answer_as (--answer-as {name})", i)
    return kinds[0]


def described(kind: str, first: int = 0) -> str:
    """How answers are read, for people."""
    return {
        "label": "labels of the choices",
        "letter": "letters, A for the first choice",
        "boolean": "false for the first choice, true for the second",
        "number": f"numbers of the choices, from {first}",
        "text": "texts of the choices",
    }[kind]


def _index(texts: Sequence[str], text: str) -> int | None:
    if text in texts:
        return texts.index(text)
    stripped = [each.strip() for each in texts]
    return stripped.index(text.strip()) if stripped.count(text.strip()) == 1 else None


def _letter(text: str) -> int | None:
    letter = text.strip().upper()
    return ord(letter) - ord("A") if len(letter) == 1 and "A" <= letter <= "Z" else None


def _boolean(answer: Any) -> int | None:
    if isinstance(answer, bool | np.bool_):
        return int(answer)
    return {"false": 0, "true": 1}.get(answer.strip().lower()) if isinstance(answer, str) else None


def _number(answer: Any, first: int) -> int | None:
    if isinstance(answer, str):
        found = _WHOLE.fullmatch(answer)
        return None if found is None else int(found[1]) - first
    whole = is_number(answer) and float(answer).is_integer()
    return int(answer) - first if whole else None


def _no_choice(question: Question, kind: str | None, first: int, found: dict[str, int | None]) -> str:
    """Why an answer names no choice."""
    answer, size = question.answer, len(question.choices)
    shown = answer if is_number(answer) else short(answer)
    if found["number"] is not None and kind in (None, "number"):
        hint = "; for answers from 1, give answer_from=1 (--answer-from 1)" if not first and found["number"] == size else ""
        return f"the answer {shown} is out of range: the choices are {first} to {first + size - 1}{hint}"
    if found["letter"] is not None and kind in (None, "letter"):
        return f"the answer {shown} is out of range: the choices are A to {chr(ord('A') + size - 1)}"
    if kind is not None and kind != "text":
        names = f": {', '.join(question.labels)}" if kind == "label" and question.labels else ""
        return f"the answer {shown} is no {kind} of a choice{names}"
    choices = ", ".join(map(short, question.choices[:5])) + (" …" if size > 5 else "")
    labels = f", nor among their labels: {', '.join(question.labels)}" if question.labels and kind is None else ""
    return f"the answer {shown} is not among the choices: {choices}{labels}"
