"""Scoring streams of texts, and showing what comes of it: rich on a terminal, plain into a pipe, JSON where asked."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from chainrule.cli.inputs import Record
from chainrule.cli.progress import progress
from chainrule.errors import InputError
from chainrule.scores.mixture import Mixtures
from chainrule.scores.scores import Scores
from chainrule.scores.tables import Writer, json_text, write_csv

if TYPE_CHECKING:
    import pyarrow

    from chainrule.engine.engine import Progress
    from chainrule.language import LanguageModel
    from chainrule.scores import Conditional

SHARD = 1000  # texts scored and written at a time, so that memory does not grow with the input


class Sink:
    """Where scores go: a file, JSON lines, a terminal, or CSV for a pipe."""

    def __init__(self, output: str | None, json: bool, per: str | None, lone: bool, several: bool = False) -> None:
        self.json, self.lone, self.per = json, lone, per
        rows = (Mixtures if several else Scores).rows_per
        if per not in (None, *rows):
            raise InputError(
                f"--per {per} is for {'one order' if several else 'several orders'}; here it is {' or '.join(rows)}"
            )
        self.detailed = per == "token" or (per is None and lone)
        self._writer = None if output is None else Writer(output)
        self._header = True

    def __enter__(self) -> Sink:
        return self

    def __exit__(self, *error: Any) -> None:
        if self._writer is not None:
            self._writer.__exit__(*error)

    def write(self, scores: Scores | Mixtures) -> None:
        """Write one shard, behind the ones before it."""
        if self._writer is not None:
            self._writer.write(scores.to_arrow(self.per))
        elif self.json:
            for score in scores:
                print(json_text(score.to_dict() if self.detailed else score.summary()))
        elif sys.stdout.isatty():
            show(*(scores if self.detailed else [scores]))
        else:
            write_csv(scores.to_arrow(self.per), sys.stdout, self._header)
            self._header = False


def score_stream(load: Callable[[], LanguageModel], records: Iterator[Record], sink: Sink, options: dict[str, Any]) -> None:
    """Read, score and write a shard at a time. The first text is read before the model is, so that bad input fails fast."""
    first = list(islice(records, SHARD))
    if not first:
        raise InputError("there is nothing to score: the input holds no text")
    lm = load()
    done = 0
    with progress("contexts") as say:
        shard = first
        while shard:
            label = f"scoring behind {done} texts" if done else "scoring"
            sink.write(_score(lm, shard, options, partial(say, label) if say else None))
            done += len(shard)
            shard = list(islice(records, SHARD))


def rank_all(
    load: Callable[[], LanguageModel],
    context: str,
    records: list[Record],
    end: bool | None,
    output: str | None,
    json: bool,
) -> None:
    """Rank candidates behind a context."""
    if not records:
        raise InputError("there is nothing to rank: give candidates")
    writer = None if output is None else Writer(output)
    lm = load()
    ranked = naming(records, lambda: lm.rank(context, [r.item for r in records], end=end))
    rows = [
        {
            "rank": place,
            "index": r.index,
            "logprob": r.logprob,
            "within_set": r.within_set,
            "tokens": len(r.score),
            "boundary": r.score.boundary,
        }
        | {"start": r.score.start.policy, "start_id": r.score.start.id, "end_id": r.score.end, "candidate": r.text}
        for place, r in enumerate(ranked, 1)
    ]
    if writer is not None:
        with writer:
            writer.write(table(rows))
    elif json:
        print_json({"context": context, "model": lm.model.name, "candidates": rows})
    elif sys.stdout.isatty():
        from chainrule.scores.views import rank_table

        show(rank_table(ranked))
    else:
        write_csv(table(rows), sys.stdout, header=True)
    if any(r.score.boundary == "apart" for r in ranked):
        print(
            "chainrule: note: for some candidates, context and candidate tokenise differently together than apart; "
            "they were scored apart (boundary: apart)",
            file=sys.stderr,
        )


def table(rows: list[dict[str, Any]]) -> pyarrow.Table:
    import pyarrow

    return pyarrow.Table.from_pylist(rows)


def show_conditional(conditional: Conditional, top: int, json: bool) -> None:
    """The most probable next tokens."""
    if json:
        print_json(conditional.to_dict(top))
        return
    bar = sys.stdout.isatty()
    for a in conditional.top(top):
        p = math.exp(a.logprob)
        print(f"{p:<12.6g} {a.logprob:>12.6f}  {a.token!r}" + (f"  {'█' * round(40 * p)}" if bar else ""))
    where = f"{conditional.context} embedding{'s' * (conditional.context != 1)}, entropy {conditional.entropy:.6f} nats"
    print(f"conditioned on {where}; {conditional.start.describe()}", file=sys.stderr)


def tell(result: Any, json: bool) -> None:
    """An explanation or a report: JSON where asked, rich on a terminal, plain lines into a pipe."""
    if json:
        print_json(result.to_dict())
    elif sys.stdout.isatty():
        show(result)
    else:
        print(result)


def print_json(value: Any) -> None:
    """One JSON value on standard output."""
    print(json_text(value, indent=2))


def _score(lm: LanguageModel, shard: list[Record], options: dict[str, Any], report: Progress | None) -> Any:
    contexts = [r.context for r in shard]
    given = None if all(c is None for c in contexts) else contexts
    return naming(shard, lambda: lm.score_batch([r.item for r in shard], context=given, progress=report, **options))


def naming(records: list[Record], ask: Callable[[], Any]) -> Any:
    """An error about item i of a shard names the place that the item came from."""
    try:
        return ask()
    except InputError as error:
        if error.item is None:
            raise
        raise InputError(f"{records[error.item].where}: {error.reason}") from None


def show(*renderables: Any) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    for renderable in renderables:
        console.print(renderable)
