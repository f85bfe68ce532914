"""chainrule choose: the options and the command."""

# Heavy imports are inside functions, after the arguments have been parsed.

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from typer import Argument, Option

from chainrule.cli.app import command
from chainrule.cli.input_options import InputOptions
from chainrule.cli.options import ModelOptions, OutputOptions, TemperatureOptions, TextOptions, WindowOptions
from chainrule.cli.plot_options import PlotOptions, reliability_plot
from chainrule.cli.reject import reject

if TYPE_CHECKING:
    from chainrule.cli.choose_input import QuestionSource


class ChoiceRow(StrEnum):
    """The kind of row in the output."""

    question = "question"
    choice = "choice"
    accuracy = "accuracy"
    calibration = "calibration"


class AnswerKind(StrEnum):
    """How answers are written."""

    label = "label"
    letter = "letter"
    boolean = "boolean"
    number = "number"
    text = "text"


class BinsBy(StrEnum):
    """What is equal in all bins."""

    width = "width"
    questions = "count"  # as many in each


@dataclass(frozen=True)
class QuestionOptions:
    """What the columns of a table of questions are, and the prompts."""

    panel: ClassVar = "Questions"
    question: Annotated[
        str | None, Option(metavar="NAME", help="The column of the questions, which are the prompts. Default: question.")
    ] = None
    choices: Annotated[
        str | None,
        Option(
            metavar="NAMES", help="The column of lists of choices, or one column for each: A,B,C,D. Default: choices, or A, B …"
        ),
    ] = None
    answer: Annotated[
        str | None,
        Option(
            metavar="NAME",
            help="The column of the answers: the number of a choice from 0, its letter, label or text. Default: answer, or "
            "answerKey.",
        ),
    ] = None
    answer_as: Annotated[
        AnswerKind | None,
        Option(
            metavar="KIND",
            help="How answers are read: label, letter, boolean, number or text. Default: the way that fits all answers.",
        ),
    ] = None
    answer_from: Annotated[
        int | None, Option(min=0, metavar="N", help="The number of the first choice, in answers that are numbers. Default: 0.")
    ] = None
    template: Annotated[
        str | None,
        Option(
            metavar="TEXT",
            help="In place of --question, the prompt with columns in braces: '{question}\\nAnswer:'. \\n is a line break, \\t "
            "a tab, \\\\ a backslash, and {{ a brace; so in all texts of these options.",
        ),
    ] = None
    sep: Annotated[
        str | None,
        Option(metavar="TEXT", help="The text between the prompt and a choice. Default: a space, unless there is white space."),
    ] = None
    among: Annotated[
        list[str] | None, Option(metavar="TEXT", help="In place of --choices, a choice of every question, several times.")
    ] = None
    shots: Annotated[
        int,
        Option(min=0, metavar="N", help="Put the first N rows, with their answers, before each prompt. They are not scored."),
    ] = 0
    shots_from: Annotated[
        str | None, Option(metavar="FILE", help="Take the shots from this table: all of its rows, or the first --shots N.")
    ] = None
    between_shots: Annotated[str, Option(metavar="TEXT", help="The text after each shot. Default: a blank line, '\\n\\n'.")] = (
        "\\n\\n"
    )
    premise: Annotated[
        str | None,
        Option(
            metavar="TEXT",
            help="Also compare log Pr of a choice after the prompt with that after this text, such as 'Answer:' (PMI).",
        ),
    ] = None

    def __post_init__(self) -> None:
        if self.template is not None:
            reject("names the column of the prompts, and so does --template: give one of them", question=self.question)
        if self.among:
            reject("names the choices, and so does --among: give one of them", choices=self.choices)
        if self.answer_as not in (None, AnswerKind.number):
            reject("is for answers that are numbers: leave out --answer-as", answer_from=self.answer_from)

    def source(self, files: list[str] | None, inputs: InputOptions, needs: str) -> QuestionSource:
        """The questions of the files, else of standard input. Raises InputError. needs: the option that needs answers."""
        from chainrule.cli.choose_input import QuestionColumns, QuestionSource
        from chainrule.text.templates import Template

        given: dict[str, Any] = {name: getattr(self, name) for name in ("question", "choices", "answer")}
        given |= {"template": _text(self.template), "sep": _text(self.sep)}
        given["among"] = None if not self.among else [str(_text(text)) for text in self.among]
        if given["template"] is not None:
            Template(given["template"])  # errors before a file is read
        columns = QuestionColumns(id=inputs.id, given=given)
        kind = None if self.answer_as is None else str(self.answer_as)
        own: dict[str, Any] = {"shots": self.shots, "shots_from": self.shots_from, "answer_as": kind, "needs": needs}
        return QuestionSource([], files or [], answer_from=self.answer_from, **own, **inputs.rows() | {"columns": columns})


def _text(text: str | None) -> str | None:
    from chainrule.text.templates import unescaped

    return None if text is None else unescaped(text)


@dataclass(frozen=True)
class CalibrationOptions:
    """The bins of the calibration."""

    panel: ClassVar = "Output"
    bins: Annotated[int, Option(min=1, max=1000, metavar="N", help="The number of bins of the calibration. Default: 10.")] = 10
    bins_by: Annotated[
        BinsBy, Option(metavar="width|count", help="Bins of equal width, or with as many questions each (count).")
    ] = BinsBy.width


@command("Score texts", omit=["file", "text_column", "context_column", "second_segment_column", "context"])
def choose(
    *,
    files: Annotated[
        list[str] | None,
        Argument(
            metavar="FILE",
            help="Tables with a question in each row: .csv .tsv .jsonl .json .parquet .feather. Default: standard input.",
        ),
    ] = None,
    per: Annotated[
        ChoiceRow,
        Option(metavar="ROW", help="Rows of tables: one for each question, choice, measure (accuracy) or bin (calibration)."),
    ] = ChoiceRow.question,
    columns: QuestionOptions,
    calibration: CalibrationOptions,
    windows: WindowOptions,
    texts: TextOptions,
    softmax: TemperatureOptions,
    inputs: InputOptions,
    outputs: OutputOptions,
    plots: PlotOptions,
    model: ModelOptions,
) -> None:
    """Answer multiple-choice questions by log Pr of the choices. The accuracy is the share of right answers."""
    from chainrule.cli.choose import choose_stream

    outputs.check()
    needs = f"--per {per}" if per in ("accuracy", "calibration") else "--plot" if plots.plot is not None else ""
    source = columns.source(files, inputs, needs)
    bins = calibration.bins, str(calibration.bins_by)
    options: dict[str, Any] = windows.arguments() | texts.arguments()
    options |= {"temperature": softmax.temperature, "premise": _text(columns.premise)}
    options["between_shots"] = _text(columns.between_shots)
    read = [*source.files, *([] if columns.shots_from is None else [columns.shots_from])]
    with plots.file(partial(reliability_plot, *bins), read) as plot, outputs.sink(read) as sink:
        choose_stream(model.load, source, sink, per, bins, options, plot)
