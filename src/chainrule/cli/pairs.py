"""chainrule pairs: minimal pairs of a table, scored and written, and their accuracy."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from chainrule.cli.inputs import Record
from chainrule.cli.kept import Kept
from chainrule.cli.output import note
from chainrule.cli.pair_input import PairSource
from chainrule.cli.sink import Sink
from chainrule.cli.stream import contexts_of, stream
from chainrule.display.pairs import accuracy_lines, accuracy_view, crossing_note, each_view
from chainrule.errors import InputError
from chainrule.results.accuracy import Accuracy, merged
from chainrule.results.columns import Row
from chainrule.results.pairs import accuracy_rows
from chainrule.results.rows import record as row_of

if TYPE_CHECKING:
    from chainrule.cli.plot_options import Plot
    from chainrule.engine.question import Progress
    from chainrule.language import LanguageModel
    from chainrule.results import Pairs


def pairs_stream(
    load: Callable[[], LanguageModel],
    source: PairSource,
    sink: Sink,
    per: str,
    options: dict[str, Any],
    named: dict[str, str | None],
    plot: Plot | None = None,
) -> None:
    """Score all pairs and write them, or their accuracy, to the sink, and add them to the plot.

    named: the columns of arguments of `lm.pairs`.
    """
    kept = Kept(source, sink.form)
    accuracy: list[Accuracy] = []
    crossing: list[str] = []
    first: list[Pairs] = []

    def score(lm: LanguageModel, progress: Progress | None, shard: list[Record]) -> Pairs:
        texts = _texts(shard, 0), _texts(shard, 1)
        columns: dict[str, Any] = {name: source.values(shard, column) for name, column in named.items()}
        return lm.pairs(*texts, context=contexts_of(shard), progress=progress, **columns, **options)

    def write(pairs: Pairs, shard: list[Record]) -> None:
        accuracy[:] = merged([accuracy, pairs.accuracy])
        crossing.extend(pairs.crossing)
        if not first:
            first.append(pairs)
        if plot is not None:
            plot.add(pairs)
        if per == "accuracy":
            return
        repeats = _repeats(source, named)
        sink.write(
            table=lambda: kept.table(_without(pairs.to_arrow(), repeats), shard, by_key=source.keyed),
            views=tuple,  # at the end
            objects=lambda: kept.lines(_without(pairs.to_arrow(), repeats).to_pylist(), shard, by_key=source.keyed),
            next_row=shard[-1].index + 1,
        )

    stream(load, source, score, write, "contexts")
    _finish(sink, per, accuracy, first[0])
    if crossing and not sink.terminal:
        note(f"chainrule: note: {crossing_note(crossing)}")


def _finish(sink: Sink, per: str, accuracy: list[Accuracy], pairs: Pairs) -> None:
    """Write the accuracy of all pairs: to the sink, or on standard error beside the rows of pairs. pairs: the first ones."""
    if per == "accuracy" or sink.terminal:
        import pyarrow

        from chainrule.results.provenance import metadata

        count = next(each.n for each in accuracy)
        sink.write(
            table=lambda: pyarrow.table(accuracy_rows(accuracy, pairs), metadata=metadata(pairs)),
            views=lambda: [*([each_view(pairs, count)] if per == "pair" else []), accuracy_view(accuracy, pairs)],
            objects=lambda: (row_of(Row.ACCURACY, each) | pairs.provenance() for each in accuracy),
        )
    else:
        for line in accuracy_lines(accuracy):
            note(f"chainrule: {line}")


def _texts(shard: list[Record], side: int) -> list[str]:
    """The good texts (0) or the bad ones (1). Raises InputError for plain lines."""
    for record in shard:
        if isinstance(record.item, str):
            raise InputError(f"{record.where} is a plain line, but pairs are rows of a table with two texts: see --format")
    return [record.item[side] for record in shard]


def _repeats(source: PairSource, named: dict[str, str | None]) -> list[str]:
    """Our columns that repeat the user's."""
    if source.keyed:
        return []
    context = [] if source.columns.context is None else ["context_text"]
    return ["good", "bad", *context, *(["phenomenon"] if named["phenomenon"] is not None else [])]


def _without(table: Any, names: list[str]) -> Any:
    return table.drop_columns(names)
