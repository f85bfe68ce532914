"""chainrule words: the words of a stream of texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from chainrule.cli.inputs import Record, Source
from chainrule.cli.kept import Kept
from chainrule.cli.output import note
from chainrule.cli.sections import CHARACTERS
from chainrule.cli.sink import Sink
from chainrule.cli.stream import contexts_of, stream
from chainrule.cli.word_input import Sentence

if TYPE_CHECKING:
    import pyarrow

    from chainrule.engine.question import Progress
    from chainrule.language import LanguageModel
    from chainrule.results import Words


def words_stream(load: Callable[[], LanguageModel], source: Source, sink: Sink, unit: str, options: dict[str, Any]) -> None:
    """Measure the words of all texts and write them to the sink. unit: of texts without units of their own."""
    kept, told = Kept(source, sink.form), set[str]()

    def score(lm: LanguageModel, progress: Progress | None, shard: list[Record]) -> Words:
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

    stream(load, source, score, write, "contexts", CHARACTERS)


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
