"""chainrule choose: multiple-choice questions of a table, scored and written, with their accuracy and calibration."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from chainrule.cli.choose_input import QuestionColumns, QuestionRecord, QuestionSource
from chainrule.cli.inputs import Record
from chainrule.cli.kept import Kept
from chainrule.cli.output import note
from chainrule.cli.sections import CHARACTERS
from chainrule.cli.sink import Sink
from chainrule.cli.stream import stream
from chainrule.display.choices import (
    accuracies_view,
    accuracy_lines,
    calibration_lines,
    calibration_view,
    cut_line,
    each_choice_view,
    questions_view,
    summary_view,
)
from chainrule.results.choices import calibration_rows, choice_accuracy_rows
from chainrule.results.columns import Row
from chainrule.results.provenance import metadata
from chainrule.results.rows import record as row_of
from chainrule.results.tally import Tally

if TYPE_CHECKING:
    from chainrule.cli.plot_options import Plot
    from chainrule.engine.question import Progress
    from chainrule.language import LanguageModel
    from chainrule.results import Choices

ROWS = ("question", "choice")


def choose_stream(
    load: Callable[[], LanguageModel],
    source: QuestionSource,
    sink: Sink,
    per: str,
    bins: tuple[int, str],
    options: dict[str, Any],
    plot: Plot | None = None,
) -> None:
    """Score all questions and write them, or their accuracy or calibration, to the sink, and add them to the plot.

    bins: their number, and what is equal in them.
    """
    kept = Kept(source, sink.form)
    tallies: list[Tally] = []
    first: list[Choices] = []
    cut: list[int] = []

    def score(lm: LanguageModel, progress: Progress | None, shard: list[Record]) -> Choices:
        columns = source.columns.arguments() if isinstance(source.columns, QuestionColumns) else {}
        rows = [record.row for record in shard if isinstance(record, QuestionRecord)]
        reading: dict[str, Any] = {"answer_as": source.answer_as, "answer_from": source.answer_from}
        return lm.choices(rows, shots_from=source.examples or None, progress=progress, **reading, **columns, **options)

    def write(choices: Choices, shard: list[Record]) -> None:
        tallies.append(choices.tally)
        cut.append(int(choices.cut.sum()))
        if not first:
            first.append(choices)
        if plot is not None:
            plot.add(choices)
        if per not in ROWS:
            return
        sink.write(
            table=lambda: kept.table(_table(choices, per), shard, by_key=per == "choice"),
            views=tuple,  # at the end
            objects=lambda: _lines(kept, choices, per, shard),
            next_row=shard[-1].index + 1,
        )

    stream(load, source, score, write, "contexts", CHARACTERS)
    _finish(sink, per, bins, Tally.joined(tallies), first[0])
    if sum(cut) and not (sink.terminal and per in ROWS):
        note(f"chainrule: note: {cut_line(sum(cut), first[0].window)}")


def _finish(sink: Sink, per: str, bins: tuple[int, str], tally: Tally, choices: Choices) -> None:
    """Write what all questions come to: to the sink, or on standard error beside the rows. choices: the first ones."""
    if per not in ROWS:
        import pyarrow

        if per == "accuracy":
            accuracy = tally.accuracy()
            rows, view = choice_accuracy_rows(accuracy, choices), accuracies_view(choices, tally)
            objects = [row_of(Row.CHOICE_ACCURACY, each) for each in accuracy]
        else:
            own = tally.calibration(*bins)
            rows, view = calibration_rows(own, choices), calibration_view(own, choices)
            objects = [row_of(Row.CALIBRATION, (own, each)) for each in own.bins]
        sink.write(
            table=lambda: pyarrow.table(rows, metadata=metadata(choices)),
            views=lambda: [view],
            objects=lambda: (each | choices.provenance() for each in objects),
        )
    elif sink.terminal:
        each = (
            questions_view(choices, len(tally.answer))
            if per == "question"
            else each_choice_view(choices, len(tally.within_set))
        )
        sink.write(table=tuple, views=lambda: [each, summary_view(tally, choices, *bins)])  # pyrefly: ignore[bad-argument-type]
    else:
        for line in [*accuracy_lines(tally), *calibration_lines(tally, *bins)]:
            note(f"chainrule: {line}")


def _table(choices: Choices, per: str) -> Any:
    """Our columns. The choices of a question are in the user's columns, or given."""
    table = choices.to_arrow(per)
    return table.drop_columns(["choices"]) if per == "question" else table


def _lines(kept: Kept, choices: Choices, per: str, shard: list[Record]) -> Any:
    rows = _table(choices, per).to_pylist()
    return kept.lines(rows, [shard[row["index"]] for row in rows], by_key=per == "choice")
