"""The columns of multiple-choice questions: of questions, of choices, of their accuracy, and of the bins of the calibration.

Shapes: Q questions, C choices of all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from chainrule.results.column_values import none_if_nan
from chainrule.results.columns import Column, Row

_QUESTION, _CHOICE, _ACCURACY, _BIN = (Row.QUESTION,), (Row.CHOICE,), (Row.CHOICE_ACCURACY,), (Row.CALIBRATION,)
_NAMES = {
    "logprob": ("", "log probability"),
    "per_token": ("_per_token", "log probability per token"),
    "per_byte": ("_per_byte", "log probability per byte"),
    "per_character": ("_per_character", "log probability per character"),
    "pmi": ("_pmi", "PMI with the premise; null without one"),
}


def _by_measure(name: str, kind: str, help: str, values: Callable[[Any, str], Iterable[Any]]) -> list[Column]:
    """One column for each measure. values: of a `Choices` and a measure."""

    def of(measure: str) -> Callable[[Any], Any]:
        return lambda choices: list(values(choices, measure)) if measure in choices.measures else [None] * len(choices)

    return [
        Column(f"{name}{suffix}", kind, help.format(words), _QUESTION, batch=of(measure))
        for measure, (suffix, words) in _NAMES.items()
    ]


def _per(measure: str, name: str, help: str) -> Column:
    return Column(name, "double", help, _CHOICE, "nats", batch=lambda choices: choices.values(measure))


def _is_answer(choices: Any) -> list[bool | None]:
    return [
        None if answer is None else at == answer
        for answer, size in zip(choices.answers, choices.sizes.tolist(), strict=True)
        for at in range(size)
    ]


def _or_none(values: Any, size: int) -> list[float | None]:
    return [None] * size if values is None else none_if_nan(values)


def _tied(choices: Any) -> list[list[str]]:
    return [[m for m, own in zip(choices.measures, row, strict=True) if own] for row in choices.tally.tied.tolist()]


def _of_bin(name: str, kind: str, help: str) -> Column:
    """A column of a bin. A result is a calibration and one of its bins."""
    return Column(name, kind, help, _BIN, of=lambda pair: getattr(pair[1], name))


def _of_all(name: str, kind: str, help: str, unit: str = "") -> Column:
    """A column of the calibration, the same for each of its bins."""
    return Column(name, kind, help, _BIN, unit, of=lambda pair: getattr(pair[0], name))


OF_CHOICES: tuple[Column, ...] = (
    Column(
        "index", "int64", "number of the question, from 0; in files, of its row in the input", (Row.QUESTION, Row.CHOICE),
        given=True,
    ),
    Column("choice_index", "int64", "number of the choice in its question, from 0", _CHOICE, batch=lambda c: c.choice_index),
    Column("prompt", "string", "the text before the choices, without the shots", _QUESTION, batch=lambda c: c.prompts),
    Column("choices", "list<string>", "the choices", _QUESTION, batch=lambda c: c.lists(c.choices)),
    Column("choice", "string", "the choice", _CHOICE, batch=lambda c: c.choices),
    Column(
        "answer_index", "int64", "number of the right choice, from 0; null without an answer", _QUESTION,
        batch=lambda c: c.answers,
    ),
    Column("is_answer", "bool", "whether the choice is the right one; null without an answer", _CHOICE, batch=_is_answer),
    *_by_measure(
        "predicted", "int64", "number of the choice with the largest {}; the first of several",
        lambda c, m: c.predicted(m).tolist(),
    ),
    *_by_measure("correct", "bool", "whether that is the answer, by {}; null without an answer", lambda c, m: c.correct(m)),
    Column("tied", "list<string>", "measures by which several choices are the best", _QUESTION, batch=_tied),
    Column(
        "confidence", "double", "largest probability within the set; null if all choices are impossible", _QUESTION,
        batch=lambda c: none_if_nan(c.confidence),
    ),
    Column(
        "choice_logprobs", "list<double>", "log probability of each choice after the prompt", _QUESTION, "nats",
        batch=lambda c: c.lists(c.logprob.tolist()),
    ),
    Column("logprob", "double", "log probability of the choice after the prompt", _CHOICE, "nats", batch=lambda c: c.logprob),
    _per("per_token", "per_token_nats", "logprob / tokens"),
    _per("per_byte", "per_byte_nats", "logprob / bytes"),
    _per("per_character", "per_character_nats", "logprob / characters"),
    Column(
        "logprob_premise", "double", "log probability of the choice after the premise; null without a premise", _CHOICE, "nats",
        batch=lambda c: _or_none(c.logprob_premise, len(c.choices)),
    ),
    Column(
        "pmi_nats", "double", "logprob − logprob_premise; null without a premise, and if both are −∞", _CHOICE, "nats",
        batch=lambda c: _or_none(c.pmi_nats, len(c.choices)),
    ),
    Column(
        "within_set", "list<double>",
        "probability of each choice, given that it is one of them; null if all choices are impossible", _QUESTION,
        batch=lambda c: c.lists(none_if_nan(c.within_set)),
    ),
    Column(
        "within_set", "double",
        "probability of the choice, given that it is one of those of its question; null if all of them are impossible",
        _CHOICE, batch=lambda c: none_if_nan(c.within_set),
    ),
    Column("tokens", "int64", "number of factors", _CHOICE, batch=lambda c: c.scores.tokens),
    Column("bytes", "int64", "UTF-8 bytes of the choice, without the separator", _CHOICE, "bytes", batch=lambda c: c.bytes),
    Column("characters", "int64", "characters of the choice, without the separator", _CHOICE, batch=lambda c: c.characters),
    Column(
        "context_boundary", "string", "`same` if prompt and choice tokenise together as they do apart, else `apart`", _CHOICE,
        batch=lambda c: [request.boundary for request in c.scores.requests],
    ),
    Column(
        "cut", "bool", "whether a factor of the choice was conditioned on fewer embeddings than precede it", _CHOICE,
        batch=lambda c: c.scores.cut,
    ),
    Column(
        "cut", "bool", "whether a factor of its choices was conditioned on fewer embeddings than precede it", _QUESTION,
        batch=lambda c: c.cut,
    ),
    Column("measure", "string", f"what decides: {', '.join(f'`{name}`' for name in _NAMES)}", _ACCURACY),
    Column("accuracy", "double", "successes / n", _ACCURACY),
    Column("accuracy_low", "double", "lower end of its 95 % Wilson interval", _ACCURACY),
    Column("accuracy_high", "double", "upper end", _ACCURACY),
    Column("chance", "double", "expected accuracy of a uniform choice: the mean of 1 / choices", _ACCURACY),
    Column("successes", "int64", "number of questions whose predicted choice is the answer", _ACCURACY),
    Column("ties", "int64", "number of questions with several best choices, of which the first is predicted", _ACCURACY),
    Column("n", "int64", "number of questions with an answer", _ACCURACY),
    _of_bin("bin", "int64", "number of the bin of the confidence, from 0"),
    _of_bin("low", "double", "its lower end, which is not in it except in the first bin"),
    _of_bin("high", "double", "its upper end, which is in it"),
    _of_bin("n", "int64", "number of its questions"),
    _of_bin("confidence", "double", "mean confidence of its questions: the largest probability within the set; null without"),
    _of_bin("accuracy", "double", "share of its questions whose predicted choice is the answer; null without"),
    _of_bin("accuracy_low", "double", "lower end of its 95 % Wilson interval"),
    _of_bin("accuracy_high", "double", "upper end"),
    _of_all("binning", "string", "what the bins are"),
    _of_all("ece", "double", "expected calibration error over all bins: Σ n / N · \\|accuracy − confidence\\|"),
    _of_all("brier", "double", "Brier score of all questions: the mean of Σ (probability − [is the answer])², from 0 to 2"),
    _of_all("nll_nats", "double", "mean of −log of the probability of the answer within the set, over all questions", "nats"),
)  # fmt: skip
