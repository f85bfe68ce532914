"""Texts through a model a shard at a time, in their order: bad ones are named, or left out, and what is before them is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from chainrule.cli.inputs import BadRow, Record, Source
from chainrule.cli.progress import progress
from chainrule.errors import InputError

if TYPE_CHECKING:
    from chainrule.engine.question import Progress
    from chainrule.language import LanguageModel

SHARD = 1000  # texts scored and written at a time, so that memory does not grow with the input

Ask = Callable[["LanguageModel", "Progress | None", list[Record]], Any]


def stream(
    load: Callable[[], LanguageModel], source: Source, ask: Ask, write: Callable[[Any, list[Record]], None], unit: str
) -> None:
    """Read, score and write a shard at a time. The first one is read before the model is, so that bad input fails fast."""
    shards, done = _shards(iter(source)), 0
    try:
        first, ended = next(shards, ([], None))
        if not first:
            raise ended or source.nothing("score")
        lm = load()
        with progress(unit) as say:
            for shard, error in chain([(first, ended)], shards):
                label = f"scoring behind {done} texts" if done else "scoring"
                found, scored, bad = ask_of(source, shard, partial(ask, lm, partial(say, label) if say else None))
                if scored:
                    write(found, scored)
                done += len(scored)
                if problem := bad or error:
                    raise problem
        if not done:
            raise source.nothing("score")
    finally:
        source.tell()


def ask_of(source: Source, shard: list[Record], ask: Callable[[list[Record]], Any]) -> tuple[Any, list[Record], BadRow | None]:
    """What is found for records, those that it was found for, and the error of the first that cannot be scored.

    Records behind that one are not scored; where bad rows are to be left out, all others are.
    """
    bad = None
    while shard:
        try:
            return ask(shard), shard, bad
        except InputError as error:
            if error.item is None:
                raise
            problem = f"{shard[error.item].where}: {error.reason}"
            if source.skip_bad:
                source.leave_out(problem)
                shard = shard[: error.item] + shard[error.item + 1 :]
            else:
                shard, bad = shard[: error.item], BadRow(problem)
    return None, [], bad


def contexts_of(shard: list[Record]) -> list[str | None] | None:
    """The contexts, where there are any."""
    contexts = [record.context for record in shard]
    return None if all(context is None for context in contexts) else contexts


def _shards(records: Iterator[Record]) -> Iterator[tuple[list[Record], InputError | None]]:
    """Records, some at a time, and the error that ended the reading."""
    error = None
    while error is None:
        shard: list[Record] = []
        try:
            for record in islice(records, SHARD):
                shard.append(record)  # noqa: PERF402 (those before an error are needed)
        except InputError as raised:
            error = raised
        if not shard and error is None:
            return
        yield shard, error
