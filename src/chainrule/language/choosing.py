"""The method that scores multiple-choice questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

from chainrule.engine.question import Progress, Settings
from chainrule.errors import InputError, short
from chainrule.language.foundation import Foundation
from chainrule.results import Choices
from chainrule.results.frames import Frame
from chainrule.scoring.choices import question_set, score_choices
from chainrule.text.arguments import as_list
from chainrule.text.questions import question_format
from chainrule.text.reading import Reading, Special
from chainrule.text.types import Column, StartPolicy

Questions: TypeAlias = Sequence[Mapping[str, Any]] | object  # rows, or a frame of pandas, Polars or Arrow
AnswerKind: TypeAlias = Literal["label", "letter", "boolean", "number", "text"]


class Choosing(Foundation):
    """`choices`."""

    # fmt: off
    def choices(
        self, questions: Questions, *, question: str | None = None, choices: str | Column[str] | None = None,
        answer: str | None = None, template: str | None = None, sep: str | None = None,
        among: Column[str] | None = None, answer_as: AnswerKind | None = None, answer_from: int | None = None,
        shots: int = 0, shots_from: Questions | None = None, between_shots: str = "\n\n", premise: str | None = None,
        start: StartPolicy | int | None = None, end: bool | int | None = None, temperature: float = 1.0,
        window: int | bool | None = None, stride: int | None = None, rows: int | None = None,
        special: Special | None = None, context_special: Special | None = None, progress: Progress | None = None,
    ) -> Choices:
        # fmt: on
        """Multiple-choice questions: log Pr of each choice after the prompt, the predicted choice, and how often it is right.

        The choices are compared by log Pr, per token, per byte and per character of the choice, and with a premise by PMI.
        `Choices.accuracy` has the share of right answers by each measure with its 95 % Wilson interval, and
        `Choices.calibration` compares the probabilities within each set of choices with the answers. All choices are scored
        at once, and shared prefixes are computed once.

        questions: the rows: a list of dictionaries, or a frame of pandas, Polars or Arrow.
        question: the column of the questions (default: "question"), which are the prompts. In every name of a column, a.b is
            the field b of the column a, if there is no column a.b; a.0 is its first item.
        choices: the column of the choices, with a list in each row, or an object of lists such as
            {"text": […], "label": […]}; or a list of columns, one for each choice. Default: "choices", or A, B, C …
        answer: the column of the answers: the number of a choice from 0, its letter, label or text, or false for the first
            of two and true for the second. All are read in the same way. Default: "answer" or "answerKey", if there is one;
            rows may lack an answer.
        template: in place of `question`, the prompt with columns in braces: "{question}\\nAnswer:". {{ is a brace.
        sep: the text between the prompt and a choice, which is scored with the choice (default: a space, unless the prompt
            ends or the choice begins with white space).
        among: in place of `choices`, the choices of every question.
        answer_as: how answers are read, if several ways are possible: "label", "letter", "boolean", "number" or "text".
        answer_from: the number of the first choice, in answers that are numbers (default: 0).
        shots: the number of first rows that are examples before each prompt, with their answers. They are not scored.
        shots_from: rows or a frame with the examples: all of them, or the first `shots`.
        between_shots: the text after each example.
        premise: a bare prompt, such as "Answer:", for the measure PMI: log Pr of a choice after the prompt minus log Pr after
            the premise; "" is no context.
        start: the start symbol for this call, in place of the model's default: "bos", "eos", "given" or a token id.
        end: True, or the id of an end symbol: add the factor of the end symbol.
        temperature: T in softmax(logits / T), which every factor is taken from; 1 is the model itself.
        window: the largest number of embeddings to condition on (default: the model's own limit); False refuses longer texts.
        stride: the number of tokens from one window to the next (default: half a window).
        rows: the number of contexts to compute at a time.
        special: how names of control symbols, such as <|endoftext|>, are read: "text" (default, with a warning) or "parse".
        context_special: the same for contexts (default: as `special`).
        progress: called with (done, total), in contexts.
        Raises InputError, with the number of the row, for a row that is no question or cannot be scored.
        """
        own, examples = _rows(questions, "questions"), None if shots_from is None else _rows(shots_from, "shots_from")
        if not own:
            raise InputError("there are no questions")
        names = dict.fromkeys(name for row in [*own, *(examples or ())] for name in row)
        form = question_format(
            list(names), question=question, answer=answer, template=template,
            choices=choices if choices is None or isinstance(choices, str) else as_list(choices, "choices"), sep=sep,
            among=None if among is None else as_list(among, "among"),
        )  # fmt: skip
        read = question_set(
            own, form, shots=shots, shots_from=examples, between_shots=between_shots, answer_as=answer_as,
            answer_from=answer_from,
        )  # fmt: skip
        settings, reading = Settings(0, window, stride, rows, progress, temperature), Reading.of(special, context_special)
        return score_choices(self.scorer, read, settings, reading, premise=premise, start=start, end=end)


def _rows(rows: Any, what: str) -> Sequence[Mapping[Any, Any]]:
    """The rows of a list of dictionaries, or of a frame. Raises InputError for anything else."""
    if type(rows).__name__ in ("DataFrame", "LazyFrame", "Table", "RecordBatch"):
        return Frame(rows).rows()
    own = as_list(rows, what)
    for i, row in enumerate(own):
        if not isinstance(row, Mapping):
            raise InputError(f"a row of {what} is a dictionary with its columns, not {short(row)}", i)
    return own
