"""chainrule words: the words of a stream of texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from chainrule.cli.inputs import Cells, Record, Source
from chainrule.cli.kept import Kept
from chainrule.cli.output import note
from chainrule.cli.sections import CHARACTERS
from chainrule.cli.sink import Sink
from chainrule.cli.stream import contexts_of, stream
from chainrule.cli.word_input import Sentence
from chainrule.errors import InputError

if TYPE_CHECKING:
    import pyarrow

    from chainrule.cli.plot_options import Plot
    from chainrule.engine.question import Progress
    from chainrule.language import LanguageModel
    from chainrule.results import Words


def words_stream(
    load: Callable[[], LanguageModel],
    source: Source,
    sink: Sink,
    unit: str,
    options: dict[str, Any],
    plot: Plot | None = None,
    plot_by: str | None = None,
) -> None:
    """Measure the words of all texts and write them to the sink, and add them to the plot.

    unit: of texts without units of their own. plot_by: the column of the condition of each text.
    """
    kept, told = Kept(source, sink.form), set[str]()
    conditions = None if plot_by is None else Conditions(plot_by)

    def score(lm: LanguageModel, progress: Progress | None, shard: list[Record]) -> Words:
        if conditions is not None:
            conditions.of(shard)  # a missing one ends the run before it is computed
        own = [record.spans for record in shard if isinstance(record, Sentence)]
        units: Any = own or unit
        return lm.words([r.item for r in shard], units, context=contexts_of(shard), progress=progress, **options)

    def write(words: Words, shard: list[Record]) -> None:
        records, by_rows = _records(shard)
        sink.write(
            table=lambda: kept.table(_table(words, by_rows), records, by_key=not by_rows),
            views=lambda: [words],
            objects=lambda: _lines(kept, words, records, by_rows),
            next_row=(shard[-1].last if isinstance(shard[-1], Sentence) else shard[-1].index) + 1,
        )
        for remark in _remarks(words) if not sink.terminal else ():
            if remark not in told:
                note(f"chainrule: note: {remark}")
                told.add(remark)
        if plot is not None:
            plot.add(words, None if conditions is None else conditions.of(shard))

    stream(load, source, score, write, "contexts", CHARACTERS)


class Conditions:
    """The condition of each text, in a column."""

    def __init__(self, column: str) -> None:
        self._column, self._cells = column, Cells(column)

    def of(self, shard: list[Record]) -> list[str]:
        """Raises InputError for a text without a condition, or whose rows have several."""
        return [self._one(record, i) for i, record in enumerate(shard)]

    def _one(self, record: Record, i: int) -> str:
        rows = (record.rows if isinstance(record, Sentence) else ()) or (record,)
        own = dict.fromkeys(self._cells.of(row) for row in rows)
        if None in own:
            raise InputError(f"the column {self._column!r} is empty, but --plot-by needs a condition of each text", i)
        if len(own) > 1:
            raise InputError(f"the column {self._column!r} (--plot-by) has {len(own)} values in the rows of one text", i)
        return str(next(iter(own)))


def _records(shard: list[Record]) -> tuple[list[Record], bool]:
    """The rows of the user's table that `index` counts: of texts, or of words if a word is a row."""
    rows = [row for record in shard if isinstance(record, Sentence) for row in record.rows]
    return (rows, True) if rows else (shard, False)


def _table(words: Words, by_rows: bool) -> pyarrow.Table:
    import pyarrow

    table = words.to_arrow()
    if not by_rows:
        return table
    at = table.schema.get_field_index("index")
    return table.set_column(at, "index", pyarrow.array(range(len(words)), pyarrow.int64())).drop_columns(["word"])


def _lines(kept: Kept, words: Words, records: list[Record], by_rows: bool) -> Iterator[str]:
    rows = _table(words, by_rows).to_pylist()
    return kept.lines(rows, [records[row["index"]] for row in rows], by_key=not by_rows)


def _remarks(words: Words) -> list[str]:
    """What a user of the numbers must know of this input."""
    remarks = []
    if words.crossing:
        tokens = next(iter(words.crossing.values()))
        remarks.append(f"tokens cross the boundaries of some words (boundary: token crosses), such as {tokens[0]!r}")
    if words.unmarked:
        remarks.append("some words begin or end where no token begins a word, and are not corrected there (boundary: unmarked)")
    return remarks
