"""Pseudo-log-likelihoods of texts: a shard at a time, rich on a terminal, CSV into a pipe, JSON lines where asked."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from chainrule.cli.inputs import Record
from chainrule.cli.progress import progress
from chainrule.cli.scoring import SHARD, naming, show
from chainrule.errors import InputError
from chainrule.scores.tables import Writer, json_text, write_csv

if TYPE_CHECKING:
    import pyarrow

    from chainrule.language import LanguageModel
    from chainrule.scores import PseudoScore


class Sink:
    """Where pseudo-log-likelihoods go: a file, JSON lines, a terminal, or CSV for a pipe."""

    def __init__(self, output: str | None, json: bool, lone: bool) -> None:
        self.json, self.lone, self._header = json, lone, True
        self._writer = None if output is None else Writer(output)

    def __enter__(self) -> Sink:
        return self

    def __exit__(self, *error: Any) -> None:
        if self._writer is not None:
            self._writer.__exit__(*error)

    def write(self, scores: list[PseudoScore]) -> None:
        """Write one shard, behind the ones before it."""
        if self._writer is not None:
            self._writer.write(_table(scores))
        elif self.json:
            for score in scores:
                print(json_text(score.to_dict() if self.lone else score.summary()))
        elif sys.stdout.isatty():
            show(*scores)
        else:
            write_csv(_table(scores), sys.stdout, self._header)
            self._header = False


def pseudo_stream(load: Callable[[], LanguageModel], records: Iterator[Record], sink: Sink, within_words: bool) -> None:
    """Read, score and write a shard at a time. The first text is read before the model is, so that bad input fails fast."""
    shard = list(islice(records, SHARD))
    if not shard:
        raise InputError("there is nothing to score: the input holds no text")
    lm = load()
    with progress("terms") as say:
        while shard:
            report = partial(say, "scoring") if say else None
            texts, contexts = [r.item for r in shard], [r.context for r in shard]
            ask = partial(lm.pseudo_log_likelihoods, texts, context=contexts, within_words=within_words, progress=report)
            sink.write(naming(shard, ask))
            shard = list(islice(records, SHARD))


def _table(scores: list[PseudoScore]) -> pyarrow.Table:
    import pyarrow

    return pyarrow.Table.from_pylist([score.summary() for score in scores])
