"""Scoring of a stream of texts, in input order. Bad rows end the stream or are skipped."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from chainrule.cli.inputs import BadRow, Record, Source
from chainrule.cli.output import OUT
from chainrule.cli.progress import Bar, progress
from chainrule.cli.sections import SHARD, cut, sections, shards
from chainrule.errors import InputError

if TYPE_CHECKING:
    from chainrule.engine.question import Progress
    from chainrule.language import LanguageModel

Score = Callable[["LanguageModel", "Progress | None", list[Record]], Any]  # the scores of the records
Write = Callable[[Any, list[Record]], None]


def stream(
    load: Callable[[], LanguageModel], source: Source, score: Score, write: Write, unit: str, characters: int = 0
) -> None:
    """Read, score and write one section at a time. unit: of the progress bar.

    characters: in a section, if the model computes a shared beginning once; 0: sections are shards. The first shard is read
    before the model is loaded, so that bad input fails early. Raises InputError and OutputError.
    """
    records, done, total = iter(source), 0, None
    try:
        head, early = _head(records)
        if not head:
            raise early or source.empty_error("score")
        lm = load()
        if lm.predictor.strategy != "forest":
            characters = 0
        with progress(unit) as bar:
            for section, error, last in sections(_continued(head, early, records), characters):
                if bar and not done:
                    total = _rows(source, section, last)
                parts = deque(shards(section))
                while parts:
                    shard = parts.popleft()
                    update = partial(_update, bar, shard, source.begin or 0, total) if bar else None
                    try:
                        scores, scored, bad_row = _scored(source, shard, partial(score, lm, update))
                    except TooMany:
                        parts.extend(cut(shard))
                        continue
                    if bar and scored and OUT.isatty():
                        bar.hide()
                    for begin in range(0, len(scored), SHARD):
                        part = slice(begin, begin + SHARD)
                        write(scores[part] if isinstance(scores, list) else scores.part(part), scored[part])
                    done += len(scored)
                    if bad_row:
                        raise bad_row
                if error:
                    raise error
        if not done:
            raise source.empty_error("score")
    finally:
        source.report_skipped()


def _head(records: Iterator[Record]) -> tuple[list[Record], InputError | None]:
    """The first shard, and the error that ended reading, if any."""
    head: list[Record] = []
    try:
        for record in islice(records, SHARD):
            head.append(record)  # noqa: PERF402 (records before an error are kept)
    except InputError as error:
        return head, error
    return head, None


def _continued(head: list[Record], error: InputError | None, records: Iterator[Record]) -> Iterator[Record]:
    """All records."""
    yield from head
    if error is not None:
        raise error
    yield from records


class TooMany(Exception):
    """One of many records cannot be scored: they are scored in smaller shards, so that few are read again."""


def _scored(
    source: Source, shard: list[Record], score: Callable[[list[Record]], Any]
) -> tuple[Any, list[Record], BadRow | None]:
    """As `score_records`. Raises TooMany for a bad record among more than a shard."""
    if len(shard) <= SHARD:
        return score_records(source, shard, score)
    try:
        return score(shard), shard, None
    except InputError as error:
        if error.item is None:
            raise
        raise TooMany from None


def _rows(source: Source, first: list[Record], last: bool) -> int | None:
    """The number of rows of the input, from --from on; None if it is not known. first: the first section."""
    if last and first:
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
