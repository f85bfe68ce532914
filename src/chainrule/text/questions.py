"""Multiple-choice questions from rows of a table: the prompt, the choices and the answer of each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.errors import InputError, short
from chainrule.files.rows import Number, listed
from chainrule.text.arguments import is_missing
from chainrule.text.templates import Template, as_text, field_of, has_field, is_number

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_ANSWERS = ("answer", "answerKey")  # the second is that of ARC
_DECODE = json.JSONDecoder(parse_int=Number, parse_float=Number, parse_constant=Number).decode


class EmptyPrompt(InputError):
    """A question whose prompt is empty."""


@dataclass(frozen=True)
class Question:
    """A prompt and its choices.

    `texts` are the choices, each after its separator from the prompt: these are scored after the prompt.
    """

    prompt: str
    choices: list[str]
    texts: list[str]
    labels: list[str] | None  # names of the choices, such as A, B, C
    answer: Any  # the value in the row; None without one
    numeric: bool  # whether a choice is a number by its type


@dataclass(frozen=True)
class QuestionFormat:
    """What the columns of a table of questions are."""

    template: Template
    choices: str | tuple[str, ...]  # a column of lists, or one column for each choice; (): the choices are `among`
    among: tuple[str, ...]  # the choices of every question
    answer: str | None
    sep: str | None  # between prompt and choice; None: a space, unless there is white space

    def read(self, row: Mapping[Any, Any]) -> Question:
        """The question of a row. Raises InputError."""
        prompt = self.template.of(row)
        if not prompt.strip():
            raise EmptyPrompt("the prompt is empty")
        labels, values = self._choices(row)
        choices = [self._choice(value, i) for i, value in enumerate(values)]
        if len(choices) < 2:
            only = (
                f"there is one choice, {short(choices[0])}, so there is nothing to choose" if choices else _none(self.choices)
            )
            raise InputError(f"{only}: give each question two choices or more")
        texts = [self._after(prompt, choice) for choice in choices]
        for i, text in enumerate(texts):
            if texts.index(text) < i:
                raise InputError(f"the choices {texts.index(text)} and {i} (from 0) are the same: {short(choices[i])}")
        answer = None if self.answer is None else _if_there(row, self.answer)
        absent = is_missing(answer) or answer == ""
        return Question(prompt, choices, texts, labels, None if absent else answer, any(map(is_number, values)))

    def _choices(self, row: Mapping[Any, Any]) -> tuple[list[str] | None, list[Any]]:
        """The labels and the values of the choices."""
        if isinstance(self.choices, str):
            return _listed(field_of(row, self.choices), self.choices)
        if not self.choices:
            return None, list(self.among)
        values = [_if_there(row, name) for name in self.choices]
        while values and is_missing(values[-1]):  # a question with fewer choices
            values.pop()
        return list(self.choices[: len(values)]), values

    @staticmethod
    def _choice(value: Any, i: int) -> str:
        text = as_text(value, f"choice {i} (from 0)")
        if not text.strip():
            raise InputError(f"choice {i} (from 0) is empty")
        return text

    def _after(self, prompt: str, choice: str) -> str:
        if self.sep is not None:
            return self.sep + choice
        return choice if prompt[-1:].isspace() or choice[:1].isspace() else " " + choice


def question_format(
    names: Sequence[Any],
    *,
    question: str | None,
    choices: str | Sequence[str] | None,
    answer: str | None,
    template: str | None,
    sep: str | None,
    among: Sequence[str] | None,
) -> QuestionFormat:
    """The columns of a table, found by their usual names if they are not given. Raises InputError. names: its columns."""
    if template is not None and question is not None:
        raise InputError("give a template or the column of the questions, not both: the template names its columns")
    if among is not None and choices is not None:
        raise InputError("give the columns of the choices, or choices for all questions (among), not both")
    own = (
        Template("{question}" if question is None else "{" + _braces(question) + "}")
        if template is None
        else Template(template)
    )
    found: str | tuple[str, ...] = () if among is not None else _column_of_choices(names, choices)
    if answer is None:
        answer = next((name for name in _ANSWERS if name in names), None)
    needed = [*own.columns, *([found] if isinstance(found, str) else found), *([] if answer is None else [answer])]
    for name in needed:
        if not has_field(names, name):
            raise InputError(f"there is no column {name!r}; {listed(names)}")
    return QuestionFormat(own, found, tuple(among or ()), answer, sep)


def _if_there(row: Mapping[Any, Any], name: str) -> Any:
    """The value of a column that a row may lack."""
    return field_of(row, name) if has_field(list(row), name) else None


def _braces(name: str) -> str:
    if {"{", "}"} & {*name}:
        raise InputError(f"the column of the questions has a brace in its name, {name!r}: rename it")
    return name


def _column_of_choices(names: Sequence[Any], choices: str | Sequence[str] | None) -> str | tuple[str, ...]:
    if isinstance(choices, str):
        return choices
    if choices is not None:
        if len(choices) < 2:
            raise InputError("the choices are in one column for each choice, or one column of lists: give its name as a text")
        return tuple(choices)
    if "choices" in names:
        return "choices"
    letters = []
    for letter in _LETTERS:
        if letter not in names:
            break
        letters.append(letter)
    if len(letters) > 1:
        return tuple(letters)
    raise InputError(
        "there is no column 'choices', nor columns A, B …: name the column of lists, or one column for each choice, with "
        f"choices (--choices), or give choices for all questions with among (--among); {listed(names)}"
    )


def _listed(value: Any, column: str) -> tuple[list[str] | None, list[Any]]:
    """The labels and the choices of a list, of an object such as {"text": […], "label": […]}, or of its JSON."""
    if isinstance(value, str) and not isinstance(value, Number):
        try:
            value = _DECODE(value) if value.lstrip()[:1] in ("[", "{") else None
        except (json.JSONDecodeError, RecursionError):
            value = None
        if value is None:
            raise InputError(f'the column {column!r} holds no list; in CSV, a list is a JSON array such as ["yes", "no"]')
    if is_missing(value):
        return None, []
    if isinstance(value, Mapping) and {"text", "label"} <= value.keys():
        labels, texts = list(value["label"]), list(value["text"])
        if len(labels) != len(texts):
            raise InputError(f"the column {column!r} has {len(texts)} choices and {len(labels)} labels")
        return [str(label) for label in labels], texts
    if isinstance(value, np.ndarray | list | tuple):
        items = list(value)
        if items and all(isinstance(item, Mapping) and {"text", "label"} <= item.keys() for item in items):
            return [str(item["label"]) for item in items], [item["text"] for item in items]
        return None, items
    raise InputError(f"the column {column!r} holds {short(value)}, which is no list of choices")


def _none(column: str | tuple[str, ...]) -> str:
    return "there are no choices" + (f" in the column {column!r}" if isinstance(column, str) else "")
