"""chainrule pseudo: pseudo-log-likelihoods of a stream of texts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from chainrule.cli.inputs import Record, Source
from chainrule.cli.kept import Kept
from chainrule.cli.sink import Sink
from chainrule.cli.stream import contexts_of, stream
from chainrule.display.scores import pseudo_table
from chainrule.results.columns import Row
from chainrule.results.rows import table

if TYPE_CHECKING:
    from chainrule.engine.question import Progress
    from chainrule.language import LanguageModel
    from chainrule.results import PseudoScore


def pseudo_stream(load: Callable[[], LanguageModel], source: Source, sink: Sink, options: dict[str, Any]) -> None:
    """Score all texts and write the scores to the sink."""
    kept = Kept(source, sink.form)

    def score(lm: LanguageModel, progress: Progress | None, shard: list[Record]) -> list[PseudoScore]:
        return lm.pseudo_log_likelihoods([r.item for r in shard], context=contexts_of(shard), progress=progress, **options)

    def write(scores: list[PseudoScore], shard: list[Record]) -> None:
        sink.write(
            table=lambda: kept.table(table(Row.PSEUDO, scores, index=range(len(shard))), shard),
            views=lambda: scores if source.single else [pseudo_table(scores)],
            objects=lambda: kept.lines((s.to_dict() if source.single else s.summary() for s in scores), shard),
            next_row=shard[-1].index + 1,
        )

    stream(load, source, score, write, "terms")
