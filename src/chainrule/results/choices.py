"""Multiple-choice questions: the scores of the choices of each, and the choice that each measure predicts.

Shapes: Q questions, C choices of all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule._types import Bools, Floats, Ints
from chainrule.errors import InputError, short
from chainrule.files.row_text import json_text
from chainrule.results.batch import Scores
from chainrule.results.columns import Row
from chainrule.results.items import Items
from chainrule.results.provenance import FromScores, WithWindow
from chainrule.results.rows import Source, arrays, record
from chainrule.results.score import Score
from chainrule.results.shown import Shown, plotted
from chainrule.results.tabular import Tabular
from chainrule.results.tally import Calibration, ChoiceAccuracy, Tally
from chainrule.results.units import count

if TYPE_CHECKING:
    import altair

MEASURES = ("logprob", "per_token", "per_byte", "per_character")
PMI = "pmi"
_SAME = 1e-12  # relative difference of two numbers that are the same up to the rounding of float64


@dataclass(frozen=True)
class QuestionScore:
    """A question with the scores of its choices."""

    prompt: str
    choices: list[str]
    answer: int | None  # the number of the right choice, from 0
    predicted: int  # the choice with the largest log Pr
    scores: list[Score]
    within_set: list[float]  # Pr of each choice, given that it is one of them

    def __repr__(self) -> str:
        of_answer = "" if self.answer is None else f", answer {self.choices[self.answer]!r}"
        confidence = self.within_set[self.predicted]
        return f"QuestionScore(predicted {self.choices[self.predicted]!r}, {confidence:.3f} of the set{of_answer})"


def _question_rows(choices: Choices) -> dict[str, Any]:
    first = Source(Row.SEQUENCE_OF_TOKEN, choices.scores, take=choices.offsets[:-1])
    return arrays([Source(Row.QUESTION, choices), first], index=np.arange(len(choices)))


def _choice_rows(choices: Choices) -> dict[str, Any]:
    return arrays([Source(Row.CHOICE, choices), Source(Row.SEQUENCE_OF_TOKEN, choices.scores)], index=choices.question_index)


def choice_accuracy_rows(accuracy: list[ChoiceAccuracy], origin: WithWindow) -> dict[str, Any]:
    """One row per measure, with the model."""
    return _with_origin(Row.CHOICE_ACCURACY, accuracy, origin)


def calibration_rows(calibration: Calibration, origin: WithWindow) -> dict[str, Any]:
    """One row per bin, with the numbers of all bins and the model."""
    return _with_origin(Row.CALIBRATION, [(calibration, each) for each in calibration.bins], origin)


def _with_origin(row: Row, results: list[Any], origin: WithWindow) -> dict[str, Any]:
    source = Source(Row.ORIGIN, [origin], batch=False, take=np.zeros(len(results), np.int64))
    return arrays([Source(row, results, batch=False), source])


@dataclass(frozen=True, eq=False)
class Choices(Items[QuestionScore], FromScores, Shown, Tabular):
    """Q questions with C choices in all. Item i is the `QuestionScore` i. Log probabilities are in nats.

    Each measure predicts the choice with its largest number: `logprob` (log Pr after the prompt), `per_token`, `per_byte`,
    `per_character` (log Pr divided by the number of tokens, and of UTF-8 bytes and characters of the choice without its
    separator), and with a premise `pmi` (log Pr after the prompt minus log Pr after the premise). Numbers that are
    equal up to the rounding of float64 are a tie, of which the first choice is predicted.
    """

    scores: Scores  # C: of the choices after their prompts
    offsets: Ints  # question q has the choices offsets[q] … offsets[q + 1] − 1
    prompts: list[str]  # Q, without the shots
    choices: list[str]  # C
    answers: list[int | None]  # Q
    shots: int  # the number of examples before each prompt
    answers_read: str | None  # how answers were written; None: there are none
    premise: str | None
    logprob_premise: Floats | None  # C: of the choices after the premise

    rows_per = {  # noqa: RUF012 (never written to)
        "question": _question_rows,
        "choice": _choice_rows,
        "accuracy": lambda choices: choice_accuracy_rows(choices.accuracy(), choices),
        "calibration": lambda choices: calibration_rows(choices.calibration(), choices),
    }

    @property
    def sizes(self) -> Ints:
        """The number of choices of each question."""
        return np.diff(self.offsets)

    @property
    def question_index(self) -> Ints:
        """The number of the question of each choice."""
        return np.repeat(np.arange(len(self)), self.sizes)

    @property
    def choice_index(self) -> Ints:
        """The number of each choice in its question, from 0."""
        return np.arange(len(self.choices)) - np.repeat(self.offsets[:-1], self.sizes)

    @property
    def logprob(self) -> Floats:
        """log Pr of each choice after its prompt, C."""
        return self.scores.logprob

    @cached_property
    def bytes(self) -> Ints:
        """UTF-8 bytes of each choice, C."""
        return np.array([len(choice.encode()) for choice in self.choices], np.int64)

    @cached_property
    def characters(self) -> Ints:
        """Characters (code points) of each choice, C."""
        return np.array(list(map(len, self.choices)), np.int64)

    @cached_property
    def pmi_nats(self) -> Floats | None:
        """log Pr after the prompt minus log Pr after the premise, C; NaN if both are impossible. None without a premise."""
        if self.logprob_premise is None:
            return None
        with np.errstate(invalid="ignore"):
            return self.logprob - self.logprob_premise

    @cached_property
    def logprob_within_set(self) -> Floats:
        """log Pr of each choice, given that it is one of those of its question, C; NaN if all of them are impossible."""
        total_Q = np.logaddexp.reduceat(self.logprob, self.offsets[:-1])
        with np.errstate(invalid="ignore"):
            return self.logprob - np.repeat(total_Q, self.sizes)

    @property
    def within_set(self) -> Floats:
        """Pr of each choice, given that it is one of those of its question, C: the softmax of their log probabilities."""
        return np.exp(self.logprob_within_set)

    @property
    def confidence(self) -> Floats:
        """The largest probability within the set of each question, Q; NaN if all of its choices are impossible."""
        return np.maximum.reduceat(self.within_set, self.offsets[:-1])

    @property
    def cut(self) -> Bools:
        """Whether a factor of a choice was conditioned on fewer embeddings than precede it, since the prompt is long, Q."""
        return np.logical_or.reduceat(self.scores.cut, self.offsets[:-1])

    @property
    def measures(self) -> tuple[str, ...]:
        return MEASURES if self.premise is None else (*MEASURES, PMI)

    def values(self, measure: str = "logprob") -> Floats:
        """The numbers of a measure, in nats, C. Raises InputError for an unknown measure."""
        if measure not in self.measures:
            raise InputError(f"measure must be one of {', '.join(map(repr, self.measures))}, not {short(measure)}")
        if measure == PMI and self.pmi_nats is not None:
            return self.pmi_nats
        sizes = {"logprob": 1, "per_token": self.scores.tokens, "per_byte": self.bytes, "per_character": self.characters}
        return self.logprob / sizes[measure]

    def predicted(self, measure: str = "logprob") -> Ints:
        """The choice of each question with the largest number, from 0, Q. Of several, the first."""
        return self._best(measure)[0]

    def tied(self, measure: str = "logprob") -> Bools:
        """Whether that choice is the first of several with the same number, Q."""
        return self._best(measure)[1]

    def _best(self, measure: str) -> tuple[Ints, Bools]:
        value_C = self.values(measure)
        scale_C = np.abs(value_C)
        if self.logprob_premise is not None and measure == PMI:
            scale_C = np.abs(self.logprob) + np.abs(self.logprob_premise)
        value_C = np.where(np.isnan(value_C), -np.inf, value_C)
        best_C = np.repeat(np.maximum.reduceat(value_C, self.offsets[:-1]), self.sizes)
        with np.errstate(invalid="ignore"):
            near_C = (value_C == best_C) | ((best_C - value_C <= _SAME * scale_C) & np.isfinite(value_C) & np.isfinite(best_C))
        first_Q = np.minimum.reduceat(np.where(near_C, self.choice_index, len(near_C)), self.offsets[:-1])
        return first_Q, np.add.reduceat(near_C.astype(np.int64), self.offsets[:-1]) > 1

    @cached_property
    def tally(self) -> Tally:
        """What accuracy and calibration are computed from."""
        best = [self._best(measure) for measure in self.measures]
        answer_Q = np.array([-1 if answer is None else answer for answer in self.answers], np.int64)
        predicted_QM, tied_QM = (np.stack(each, axis=1) for each in zip(*best, strict=True))
        return Tally(self.measures, predicted_QM, tied_QM, answer_Q, self.sizes, self.within_set)

    def accuracy(self) -> list[ChoiceAccuracy]:
        """The share of questions whose predicted choice is the answer, by each measure, with its 95 % Wilson interval.

        Questions without an answer do not count. [] if no question has one.
        """
        return self.tally.accuracy()

    def calibration(self, bins: int = 10, by: str = "width") -> Calibration:
        """How well the probabilities within the set agree with the answers: reliability table, ECE, Brier score.

        bins: the number of bins of the confidence, the largest probability within the set.
        by: "width": bins of equal width from 0 to 1; "count": bins with as many questions each, except that equal confidences
            are in the same bin.
        Raises InputError if no question has an answer.
        """
        return self.tally.calibration(bins, by)

    def correct(self, measure: str = "logprob") -> list[bool | None]:
        """Whether the predicted choice of each question is the answer; None without one."""
        return [a if a is None else p == a for p, a in zip(self.predicted(measure).tolist(), self.answers, strict=True)]

    def lists(self, value_C: Any) -> list[list[Any]]:
        """The values of choices, as one list for each question."""
        values = list(value_C)
        return [values[first:stop] for first, stop in zip(self.offsets[:-1].tolist(), self.offsets[1:].tolist(), strict=True)]

    def __len__(self) -> int:
        return len(self.prompts)

    def _item(self, q: int, /) -> QuestionScore:
        own = slice(int(self.offsets[q]), int(self.offsets[q + 1]))
        return QuestionScore(
            self.prompts[q],
            self.choices[own],
            self.answers[q],
            int(self.tally.predicted[q, 0]),
            self.scores[own],
            self.within_set[own].tolist(),
        )

    def part(self, which: slice) -> Choices:
        """Some consecutive questions."""
        first, stop, _ = which.indices(len(self))
        own = slice(int(self.offsets[first]), int(self.offsets[max(first, stop)]))
        return replace(
            self,
            scores=self.scores.part(own),
            offsets=self.offsets[first : max(first, stop) + 1] - own.start,
            prompts=self.prompts[first:stop],
            choices=self.choices[own],
            answers=self.answers[first:stop],
            logprob_premise=None if self.logprob_premise is None else self.logprob_premise[own],
        )

    def to_dict(self) -> dict[str, Any]:
        """The accuracies, the calibration and the rows of all questions, for JSON. Infinities are floats."""
        accuracy = [record(Row.CHOICE_ACCURACY, each) for each in self.accuracy()]
        known = [self.calibration()] if self.tally.calibrated else []
        calibration = [record(Row.CALIBRATION, (own, each)) for own in known for each in own.bins]
        return {"accuracy": accuracy, "calibration": calibration, "questions": self.to_dicts(), **self.provenance()}

    def to_json(self) -> str:
        """`to_dict` as text. Infinities are the strings "Infinity" and "-Infinity"."""
        return json_text(self.to_dict())

    def plot(self, bins: int = 10, by: str = "width") -> altair.TopLevelMixin:
        """An Altair chart of the calibration: accuracy against confidence in each bin, and the number of questions.

        bins, by: as in `calibration`. Raises InputError if no question has an answer, and OutputError without the extra
        `plot`. `save_plot` writes a chart to a file.
        """
        return plotted(self, bins=bins, by=by)

    def __repr__(self) -> str:
        accuracy = self.accuracy()
        by = f", accuracy by log Pr {accuracy[0].describe()}" if accuracy else ""
        return f"Choices({count(len(self), 'question')}, {count(len(self.choices), 'choice')}{by})"
