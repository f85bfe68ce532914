"""Views of multiple-choice questions: one line per question, the accuracy by measure, and the calibration."""

from __future__ import annotations

import html
from collections.abc import Sequence

from chainrule.display.grid import Grid, column, numbers
from chainrule.display.pairs import table_html
from chainrule.display.scores import SHOWN, in_part, temperature_note
from chainrule.display.spans import cell, forms_of_logprob
from chainrule.display.view import View, note, origin
from chainrule.results.choices import Choices, QuestionScore
from chainrule.results.tally import Bin, Calibration, Tally
from chainrule.results.units import count

NAMES = {
    "logprob": "log Pr",
    "per_token": "per token",
    "per_byte": "per byte",
    "per_character": "per character",
    "pmi": "PMI",
}
NO_ANSWERS = "No question has an answer, so there is no accuracy."


def choices_view(choices: Choices) -> View:
    """One line per question, then the accuracies and the calibration."""
    return View(*questions_view(choices).parts, *summary_view(choices.tally, choices, 10, "width").parts)


def questions_view(choices: Choices, total: int | None = None) -> View:
    """One line per question. total: the number of questions, if these are the first of more."""
    shown = choices[:SHOWN]
    answers = any(own.answer is not None for own in shown)
    columns = {
        "predicted": column("cut", "predicted", [cell(own.choices[own.predicted], own=True) for own in shown]),
        "confidence": column("number", "Pr within\nthe set", [cell(_confidence(own)) for own in shown], "Pr within the set"),
        "right": column("label", "right", [cell(_right(own)) for own in shown], "right"),
        "answer": column(
            "cut", "answer", [cell("" if own.answer is None else own.choices[own.answer], own=True) for own in shown], "answer"
        ),
        "prompt": column("cut", "prompt", [cell(own.prompt, own=True) for own in shown], "the prompt"),
    }
    plan = ["predicted", "prompt", "confidence", *(["right", "answer"] if answers else [])]
    columns = {name: columns[name] for name in ("prompt", "predicted", "answer", "right", "confidence") if name in plan}
    grid = Grid(columns, plan, 2, caption=in_part(len(shown), total or len(choices), "questions"))
    return View(grid, *map(note, _remarks(choices)))


def each_choice_view(choices: Choices, total: int) -> View:
    """One line per choice, of the first ones. total: the number of all choices."""
    shown = min(len(choices.choices), SHOWN)
    logprobs, shares = choices.logprob[:shown].tolist(), choices.within_set[:shown].tolist()
    answers = {(q, answer) for q, answer in enumerate(choices.answers) if answer is not None}
    numbers_of = zip(choices.question_index[:shown].tolist(), choices.choice_index[:shown].tolist(), strict=True)
    columns = {
        "question": column("number", "question", [cell(str(q)) for q in choices.question_index[:shown].tolist()]),
        "choice": column("cut", "choice", [cell(text, own=True) for text in choices.choices[:shown]]),
        "answer": column("label", "answer", [cell("yes" if own in answers else "") for own in numbers_of], "the answer"),
        "logprob": numbers("log Pr\n(nats)", forms_of_logprob(logprobs), ["log Pr to 3 decimals"]),
        "share": column("number", "Pr within\nthe set", [cell(_share(value)) for value in shares], "Pr within the set"),
    }
    plan = ["choice", "logprob", "share", "question", *(["answer"] if answers else []), "logprob"]
    if not answers:
        del columns["answer"]
    return View(Grid(columns, plan, 2, caption=in_part(shown, total, "choices")), *map(note, _remarks(choices)))


def summary_view(tally: Tally, choices: Choices, bins: int, by: str) -> View:
    """The accuracy by each measure, the calibration, and the model. choices: the questions, or some of them."""
    at = temperature_note(choices.scores.temperature)
    return View(*accuracy_parts(tally), *map(note, calibration_lines(tally, bins, by)), *at, origin(choices))


def accuracy_parts(tally: Tally) -> list[Grid]:
    """A line for each measure; none without answers."""
    own = tally.accuracy()
    if not own:
        return []
    columns = {
        "measure": column("label", "measure", [cell(NAMES[each.measure]) for each in own]),
        "accuracy": column("number", "accuracy", [cell(f"{each.accuracy:.3f}") for each in own]),
        "interval": column(
            "number", "95 %\ninterval", [cell(f"{each.accuracy_low:.3f} to {each.accuracy_high:.3f}") for each in own],
            "the interval",
        ),
        "right": column("number", "right", [cell(f"{each.successes} of {each.n}") for each in own], "right"),
        "ties": column("number", "ties", [cell(str(each.ties)) for each in own], "ties"),
    }  # fmt: skip
    return [Grid(columns, ["measure", "accuracy", "interval", "right", "ties"], 2)]


def accuracy_lines(tally: Tally) -> list[str]:
    """The accuracies as lines of text."""
    return [f"{NAMES[each.measure]}: {each.describe()}" for each in tally.accuracy()]


def calibration_lines(tally: Tally, bins: int, by: str) -> list[str]:
    """Lines below the accuracies: chance, ties, questions without an answer, and the calibration."""
    accuracy = tally.accuracy()
    if not accuracy:
        return [NO_ANSWERS]
    lines = [f"chance: {accuracy[0].chance:.3f}, the mean of 1 / choices"]
    if any(each.ties for each in accuracy):
        lines.append("of a tie, the first choice is predicted")
    if missing := len(tally.answer) - tally.answered:
        lines.append(f"{count(missing, 'question')} without an answer: not counted")
    known = calibration_or_none(tally, bins, by)
    reason = "all choices of each question are impossible, so there is no calibration"
    lines.append(reason if known is None else f"calibration of Pr within the set: {known.describe()}")
    return lines


def calibration_or_none(tally: Tally, bins: int, by: str) -> Calibration | None:
    """The calibration; None without answers, and if all choices are impossible."""
    return tally.calibration(bins, by) if tally.calibrated else None


def accuracies_view(choices: Choices, tally: Tally) -> View:
    """The accuracy by each measure, and the model."""
    return View(*accuracy_parts(tally), *map(note, calibration_lines(tally, 10, "width")[:-1]), origin(choices))


def calibration_view(calibration: Calibration, choices: Choices) -> View:
    """One line per bin of the confidence."""
    own = calibration.bins
    columns = {
        "bin": column("number", "confidence", [cell(_ends(each)) for each in own]),
        "n": column("number", "questions", [cell(str(each.n)) for each in own]),
        "mean": column("number", "mean\nconfidence", [cell(_number(each.confidence)) for each in own], "mean confidence"),
        "accuracy": column("number", "accuracy", [cell(_number(each.accuracy)) for each in own], "accuracy"),
        "interval": column("number", "95 %\ninterval", [cell(_interval(each)) for each in own], "the interval"),
    }
    grid = Grid(columns, ["bin", "accuracy", "mean", "n", "interval"], 2)
    return View(grid, note(f"calibration of Pr within the set: {calibration.describe()}"), origin(choices))


def choices_html(choices: Choices) -> str:
    """Two tables: the accuracies, and the first questions."""
    accuracy = [
        [NAMES[a.measure], f"{a.accuracy:.3f} ({a.accuracy_low:.3f} to {a.accuracy_high:.3f})", str(a.n), str(a.ties)]
        for a in choices.accuracy()
    ]
    summary = table_html(["measure", "accuracy (95 % interval)", "n", "ties"], accuracy) if accuracy else ""
    shown = choices[:SHOWN]
    rows = [[*map(html.escape, _texts(own)), _right(own), _confidence(own)] for own in shown]
    each = table_html(["prompt", "predicted", "answer", "right", "Pr within the set"], rows)
    below = [in_part(len(shown), len(choices), "questions"), *_remarks(choices), *calibration_lines(choices.tally, 10, "width")]
    return f"{summary}{each}<small>{'<br>'.join(html.escape(line) for line in below if line)}</small>"


def _texts(own: QuestionScore) -> Sequence[str]:
    return own.prompt, own.choices[own.predicted], "" if own.answer is None else own.choices[own.answer]


def _right(own: QuestionScore) -> str:
    return "" if own.answer is None else "yes" if own.answer == own.predicted else "no"


def _confidence(own: QuestionScore) -> str:
    return _share(own.within_set[own.predicted])


def _share(value: float) -> str:
    return "" if value != value else f"{value:.3f}"


def _remarks(choices: Choices) -> list[str]:
    """Lines below the questions: the shots, and how answers are read."""
    shots = [f"{count(choices.shots, 'shot')} before each prompt"] if choices.shots else []
    cut = int(choices.cut.sum())
    read = [f"answers: {choices.answers_read}"] if choices.answers_read else []
    return [*shots, *read, *([cut_line(cut, choices.window)] if cut else [])]


def cut_line(cut: int, window: int | None) -> str:
    """A line about questions that are longer than a window."""
    return f"{count(cut, 'question')} longer than {window} embeddings: the beginnings of the prompts do not count there"


def _ends(own: Bin) -> str:
    return f"{own.low:.3f} to {own.high:.3f}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _interval(own: Bin) -> str:
    return "" if own.accuracy_low is None else f"{own.accuracy_low:.3f} to {own.accuracy_high:.3f}"
