"""chainrule score, rank and next: computation, and the rows of output."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from chainrule.cli.inputs import Record, Source
from chainrule.cli.kept import Kept
from chainrule.cli.output import note, print_json, show
from chainrule.cli.progress import progress
from chainrule.cli.sections import CHARACTERS
from chainrule.cli.sink import Sink
from chainrule.cli.stream import contexts_of, score_records, stream
from chainrule.errors import InputError
from chainrule.files.row_text import json_members
from chainrule.results.batch import Scores
from chainrule.results.columns import Row
from chainrule.results.detectors import Detectors
from chainrule.results.explanation import Explanation
from chainrule.results.mixture import Mixtures
from chainrule.results.rows import table

if TYPE_CHECKING:
    import pyarrow

    from chainrule.cli.plot_options import Plot
    from chainrule.engine.question import Progress
    from chainrule.language import LanguageModel
    from chainrule.results import Conditional, Ranked


def check_per(per: str | None, several: bool) -> None:
    """Raises InputError for a kind of row that scores in one order, or in several orders, do not have."""
    rows = (Mixtures if several else Scores).rows_per
    if per not in (None, *rows):
        raise InputError(f"--per {per} needs {'one order' if several else 'several orders'}: use --per {' or '.join(rows)}")


def score_stream(
    load: Callable[[], LanguageModel],
    source: Source,
    sink: Sink,
    per: str | None,
    options: dict[str, Any],
    plot: Plot | None = None,
    share: float | None = None,
) -> None:
    """Score all texts and write the scores to the sink, and add them to the plot.

    per: the kind of row; None: a sequence, in detail for a single text. share: k of `Detectors`; None: without them.
    """
    kept = Kept(source, sink.form)
    detailed = per == "token" or (per is None and source.single)
    if options["top"] and not (detailed and sink.json) and not (per == "token" and not sink.terminal):
        remedy = "--output, a pipe or --json" if per == "token" else "--per token, or with --json for a single text"
        raise InputError(f"--top adds alternatives to each token, but these rows do not show tokens: use {remedy}")
    if share is not None and per == "token" and sink.terminal:
        raise InputError("--detectors --per token has more columns than a terminal shows: use --output, a pipe or --json")

    def score(lm: LanguageModel, progress: Progress | None, shard: list[Record]) -> Any:
        return lm.score_batch([r.item for r in shard], context=contexts_of(shard), progress=progress, **options)

    def write(scores: Scores | Mixtures, shard: list[Record]) -> None:
        result = scores if share is None else Detectors(cast("Scores", scores), k=share)
        sink.write(
            table=lambda: kept.table(result.to_arrow(per), shard, by_key=per == "token"),
            views=lambda: _views(scores, per) if detailed and share is None else [result],
            objects=lambda: kept.lines((s.to_dict() if detailed else s.summary() for s in result), shard),
            next_row=shard[-1].index + 1,
        )
        if plot is not None:
            plot.add(scores)

    ordered = options.get("order") is not None  # several orders have several times as many tokens
    stream(load, source, score, write, "contexts", 0 if ordered else CHARACTERS // (1 + options["top"]))


def _views(scores: Scores | Mixtures, per: str | None) -> Iterable[Any]:
    """The scores in detail; one line per token if that was asked for and they have one order."""
    return map(Explanation, scores) if per == "token" and isinstance(scores, Scores) else scores


def rank_all(load: Callable[[], LanguageModel], context: str, source: Source, sink: Sink, options: dict[str, Any]) -> None:
    """Rank candidates after a context and write the ranking to the sink."""
    try:
        records = list(source)
        if not records:
            raise source.empty_error("rank", "candidates")
        lm = load()
        with progress("contexts") as bar:
            update = None if bar is None else partial(bar, "ranking")
            ranked, records, bad = score_records(
                source, records, lambda batch: lm.rank(context, [r.item for r in batch], progress=update, **options)
            )
        if bad or not records:
            raise bad or source.empty_error("rank", "candidates")
    finally:
        source.report_skipped()
    kept, ranking = Kept(source, sink.form), _ranking(ranked)
    if sink.json:
        rows = [json.loads(f"{{{row}}}") for part in json_members(kept.table(ranking, records)) for row in part]
        print_json({"context": context, **ranked[0].score.provenance(), "candidates": rows})
    else:
        from chainrule.display.rankings import ranking_view

        sink.write(lambda: kept.table(ranking, records), lambda: [ranking_view(ranked)])
    if any(r.score.boundary == "apart" for r in ranked):
        note(
            "chainrule: note: for some candidates, context and candidate tokenise differently together than separately; "
            "they were scored separately (boundary: apart)"
        )


def _ranking(ranked: list[Ranked]) -> pyarrow.Table:
    """One row per candidate, most probable first."""
    return table(
        Row.CANDIDATE,
        [r.score for r in ranked],
        rank=range(1, len(ranked) + 1),
        index=[r.index for r in ranked],
        logprob_within_set=[r.logprob_within_set for r in ranked],
        candidate=[r.text for r in ranked],
    )


def show_conditional(conditional: Conditional, top: int, json: bool) -> None:
    """Write the most probable next tokens."""
    from chainrule.display.rankings import conditional_view

    if json:
        print_json(conditional.to_dict(top))
    else:
        show(conditional_view(conditional, top))
