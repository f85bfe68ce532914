"""Scoring of a stream of texts in shards, in input order. Bad rows end the stream or are skipped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from chainrule.cli.inputs import BadRow, Record, Source
from chainrule.cli.output import OUT
from chainrule.cli.progress import Bar, progress
from chainrule.errors import InputError

if TYPE_CHECKING:
    from chainrule.engine.question import Progress
    from chainrule.language import LanguageModel

SHARD = 1000  # texts scored and written at a time; bounds the memory for long inputs

Score = Callable[["LanguageModel", "Progress | None", list[Record]], Any]  # the scores of the records


def stream(
    load: Callable[[], LanguageModel], source: Source, score: Score, write: Callable[[Any, list[Record]], None], unit: str
) -> None:
    """Read, score and write one shard at a time. unit: of the progress bar.

    The first shard is read before the model is loaded, so that bad input fails early. Raises InputError and OutputError.
    """
    shards, done = _shards(iter(source)), 0
    try:
        first, first_error = next(shards, ([], None))
        if not first:
            raise first_error or source.empty_error("score")
        lm = load()
        with progress(unit) as bar:
            total = _rows(source, first) if bar else None
            for shard, error in chain([(first, first_error)], shards):
                update = partial(_update, bar, shard, source.begin or 0, total) if bar else None
                scores, scored, bad_row = score_records(source, shard, partial(score, lm, update))
                if scored:
                    if bar and OUT.isatty():
                        bar.hide()
                    write(scores, scored)
                done += len(scored)
                if failure := bad_row or error:
                    raise failure
        if not done:
            raise source.empty_error("score")
    finally:
        source.report_skipped()


def _rows(source: Source, first: list[Record]) -> int | None:
    """The number of rows of the input, from --from on; None if it is not known. first: the first shard."""
    if len(first) < SHARD:
        return first[-1].index + 1 - (source.begin or 0)
    count = source.count()
    return None if count is None else count - (source.begin or 0)


def _update(bar: Bar, shard: list[Record], begin: int, total: int | None, done: int, of: int) -> None:
    """Show how many rows of the input are done, when `done` of the `of` contexts of this shard are."""
    first, stop = shard[0].index - begin, shard[-1].index + 1 - begin
    rows = first + (stop - first) * done / max(1, of)
    bar.show("scoring", done, rows, total, f"{rows:.0f}{'' if total is None else f'/{total}'} texts")


def score_records(
    source: Source, shard: list[Record], score: Callable[[list[Record]], Any]
) -> tuple[Any, list[Record], BadRow | None]:
    """The scores, the records that were scored, and the error of the first record that cannot be scored.

    With --skip-bad bad records are skipped and there is no error; otherwise scoring ends before the first of them.
    """
    bad_row = None
    while shard:
        try:
            return score(shard), shard, bad_row
        except InputError as error:
            if error.item is None:
                raise
            problem = f"{shard[error.item].where}: {error.reason}"
            if source.skip_bad:
                source.skip(problem)
                shard = shard[: error.item] + shard[error.item + 1 :]
            else:
                shard, bad_row = shard[: error.item], BadRow(problem)
    return None, [], bad_row


def contexts_of(shard: list[Record]) -> list[str | None] | None:
    """The contexts of the records; None if no record has one."""
    contexts = [record.context for record in shard]
    return None if all(context is None for context in contexts) else contexts


def _shards(records: Iterator[Record]) -> Iterator[tuple[list[Record], InputError | None]]:
    """Shards of records. The last one comes with the error that ended reading, if any."""
    error = None
    while error is None:
        shard: list[Record] = []
        try:
            for record in islice(records, SHARD):
                shard.append(record)  # noqa: PERF402 (records before an error are kept)
        except InputError as raised:
            error = raised
        if not shard and error is None:
            return
        yield shard, error
