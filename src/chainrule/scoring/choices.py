"""Multiple-choice questions: all choices, after the prompt and after the premise, scored as one batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule._checks import is_whole
from chainrule.engine.question import Settings
from chainrule.errors import InputError, short
from chainrule.forest.forest import offsets
from chainrule.results.choices import Choices
from chainrule.scoring.scorer import Scorer
from chainrule.text.answers import KINDS, agreed, described, readings
from chainrule.text.questions import Question, QuestionFormat
from chainrule.text.reading import Reading


@dataclass(frozen=True)
class QuestionSet:
    """Questions with their answers, and the examples before each prompt."""

    questions: list[Question]
    answers: list[int | None]
    examples: str  # the shots, each with the text after it
    shots: int
    first_row: int  # the number of the first question among the rows
    answers_read: str | None  # how answers are written; None: there are none


def question_set(
    rows: Sequence[Mapping[Any, Any]],
    form: QuestionFormat,
    *,
    shots: int,
    shots_from: Sequence[Mapping[Any, Any]] | None,
    between_shots: str,
    answer_as: str | None,
    answer_from: int | None,
) -> QuestionSet:
    """Read the questions of rows. Raises InputError, with the number of the row, for one that is no question.

    shots: the number of first rows that are examples and are not asked; of `shots_from`, if it is given (0: all of them).
    """
    kind, first = reading_of(answer_as, answer_from)
    before, after = _examples_and_questions(rows, shots, shots_from)
    own_rows = shots_from is None

    def located(reason: str, i: int | None) -> InputError:
        """The error of a question, or of an example."""
        if i is None or own_rows:
            return InputError(reason, i)
        return InputError(f"row {i} of the shots: {reason}") if i < len(before) else InputError(reason, i - len(before))

    questions: list[Question] = []
    possible: list[dict[str, int] | None] = []
    for i, row in enumerate([*before, *after]):
        try:
            question = form.read(row)
            questions.append(question)
            possible.append(None if question.answer is None else readings(question, kind, first))
        except InputError as error:
            raise located(error.reason, i) from None
    try:
        chosen = agreed(possible)
    except InputError as error:
        raise located(error.reason, error.item) from None
    answers = [None if own is None or chosen is None else own[chosen] for own in possible]
    examples = []
    for i, (question, answer) in enumerate(zip(questions[: len(before)], answers, strict=False)):
        if answer is None:
            raise located("it has no answer, so it cannot be a shot", i)
        examples.append(question.prompt + question.texts[answer] + between_shots)
    answers_read = None if chosen is None else described(chosen, first)
    first_row = len(before) if own_rows else 0
    return QuestionSet(
        questions[len(before) :], answers[len(before) :], "".join(examples), len(before), first_row, answers_read
    )


def _examples_and_questions(
    rows: Sequence[Mapping[Any, Any]], shots: int, shots_from: Sequence[Mapping[Any, Any]] | None
) -> tuple[Sequence[Mapping[Any, Any]], Sequence[Mapping[Any, Any]]]:
    """The rows of the examples and those of the questions. Raises InputError if there are too few."""
    if not is_whole(shots, 0):
        raise InputError(f"shots must be a whole number of 0 or more, not {short(shots)}")
    if shots_from is not None:
        if shots > len(shots_from):
            raise InputError(f"shots_from has {len(shots_from)} rows, but {shots} shots are wanted: give fewer, or more rows")
        return shots_from[: shots or None], rows
    if shots >= max(1, len(rows)):
        raise InputError(f"{shots} shots need {shots} rows and one question at least, but there are {len(rows)} rows")
    return rows[:shots], rows[shots:]


def reading_of(answer_as: str | None, answer_from: int | None) -> tuple[str | None, int]:
    """How answers are read, and the number of the first choice. Raises InputError."""
    if answer_as is not None and answer_as not in KINDS:
        raise InputError(f"answer_as must be one of {', '.join(KINDS)}, not {short(answer_as)}")
    if answer_from is None:
        return answer_as, 0
    if not is_whole(answer_from, 0):
        raise InputError(f"answer_from must be a whole number of 0 or more, not {short(answer_from)}")
    if answer_as not in (None, "number"):
        raise InputError(f"answer_from is for answers that are numbers, but answer_as is {answer_as!r}")
    return "number", int(answer_from)


def score_choices(
    scorer: Scorer,
    own: QuestionSet,
    settings: Settings,
    reading: Reading,
    *,
    premise: str | None,
    start: str | int | None,
    end: bool | int | None,
) -> Choices:
    """The choices of all questions. Raises InputError, with the number of the question, for a choice that has no score."""
    if not own.questions:
        raise InputError("there are no questions")
    if premise == "" and scorer.start(start).id is None:
        raise InputError(
            "after an empty premise and without a start symbol, the first token of a choice has no factor: choose a start "
            "symbol with start=, or give a premise"
        )
    sizes = [len(question.choices) for question in own.questions]
    offsets_Q = offsets(sizes)
    texts = [text for question in own.questions for text in question.texts]
    contexts: list[Any] = [own.examples + question.prompt for question in own.questions for _ in question.texts]
    after_premise = [] if premise is None else texts
    try:
        requests = scorer.requests([*texts, *after_premise], [*contexts, *[premise] * len(after_premise)], reading)
        scores = scorer.score(requests, settings, start=start, end=end)
    except InputError as error:
        if error.item is None:
            raise
        c, where = error.item % len(texts), "" if error.item < len(texts) else " after the premise"
        q = int(np.searchsorted(offsets_Q, c, side="right")) - 1
        raise InputError(f"choice {c - int(offsets_Q[q])} (from 0){where}: {error.reason}", own.first_row + q) from None
    return Choices(
        scores=scores if premise is None else scores.part(slice(0, len(texts))),
        offsets=offsets_Q,
        prompts=[question.prompt for question in own.questions],
        choices=[choice for question in own.questions for choice in question.choices],
        answers=own.answers,
        shots=own.shots,
        answers_read=own.answers_read,
        premise=premise,
        logprob_premise=None if premise is None else scores.logprob[len(texts) :],
    )
