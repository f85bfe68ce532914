"""chainrule corpus: a run, its progress on standard error, and its sums on standard output."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from chainrule.cli.output import OUT, note, print_json
from chainrule.cli.progress import Bar, progress
from chainrule.corpus.output import Output
from chainrule.corpus.score import estimate_corpus, prepared
from chainrule.corpus.scored.chart import histogram_chart
from chainrule.corpus.scored.expression import Condition
from chainrule.corpus.scored.page import summary_page
from chainrule.corpus.scored.parts import find_column
from chainrule.corpus.scored.quantiles import QUANTILE
from chainrule.errors import InputError
from chainrule.files.row_text import json_text
from chainrule.results.units import count

if TYPE_CHECKING:
    import pyarrow

    from chainrule.cli.plot_options import PlotOptions
    from chainrule.corpus.progress import Progress
    from chainrule.corpus.result import Corpus, Estimate
    from chainrule.corpus.scored.selection import Selection
    from chainrule.corpus.scored.summary import Summary
    from chainrule.program.corpus_options import FilterOptions

_LINE = 60.0  # seconds between lines of a log


def scored(
    inputs: Sequence[str],
    output: str,
    model: str | None,
    options: dict[str, Any],
    fresh: bool,
    filters: FilterOptions,
    plots: PlotOptions,
    json: bool,
) -> bool:
    """Score a corpus, select from it, and write its sums. Returns whether a document could not be scored."""
    with plots.file(SummaryPlot, inputs) as plot, Output(output) as folder, _shown() as show:
        run = prepared(inputs, model, say=_say, progress=show, **options)
        _check(filters, run.schema)
        corpus = run.score(folder, fresh)
        summary = None if options["per"] == "token" else corpus.summary(filters.group_by)
        if summary is not None:
            folder.write("_summary.json", (json_text(summary.to_dict(), indent=1) + "\n").encode())
            folder.write("_summary.html", summary_page(summary).encode())
        if plot is not None:
            if summary is None:
                raise InputError("--plot draws numbers of documents, which --per token leaves out: use --per both")
            plot.add(summary)
        selection = _selected(corpus, folder, filters)
    for sentence in corpus.notes:
        _say(sentence)
    sums = {"summary": None if summary is None else summary.whole.to_dict()}
    if json:
        print_json(_sums(corpus) | sums | ({} if selection is None else {"selection": selection.to_dict()}))
    else:
        OUT.writelines(f"{line}\n" for line in _in_words(corpus, summary, selection, filters))
    return corpus.failed > 0


def _check(filters: FilterOptions, schema: pyarrow.Schema) -> None:
    """Raises InputError now for what would be an error after the scoring."""
    import pyarrow

    for name in filter(None, (filters.quantiles, filters.group_by)):
        find_column(schema, name)
    if filters.where is not None:
        more = [] if filters.quantiles is None else [pyarrow.field(QUANTILE, pyarrow.string())]
        Condition(filters.where, pyarrow.schema([*schema, *more]))


def _selected(corpus: Corpus, folder: Output, filters: FilterOptions) -> Selection | None:
    """Write the quantiles and the selection that were asked for."""
    bounds = None
    if filters.quantiles is not None:
        bounds = corpus.thresholds(filters.quantiles, filters.group_by)
        folder.write("_quantiles.json", (json_text(bounds.to_dict(), indent=1) + "\n").encode())
    return None if filters.into is None else corpus.select(filters.into, filters.where, bounds)


class SummaryPlot:
    """The chart of a summary."""

    def __init__(self) -> None:
        self._summary: Summary | None = None

    def add(self, summary: Summary) -> None:
        self._summary = summary

    def left_out(self) -> list[str]:
        """The chart has a note on what it leaves out."""
        return []

    def chart(self) -> Any:
        if self._summary is None:
            raise ValueError("no summary was added")
        return histogram_chart(self._summary)


def estimated(inputs: Sequence[str], model: str | None, options: dict[str, Any], json: bool) -> None:
    """Write what scoring a corpus would take."""
    with _shown() as show:
        estimate = estimate_corpus(inputs, model, say=_say, progress=show, **options)
    if json:
        print_json(vars(estimate) | {"seconds": estimate.seconds})
    else:
        OUT.write("\n".join(_lines(estimate)) + "\n")


def _sums(corpus: Corpus) -> dict[str, Any]:
    names = ("documents", "failed", "first_error", "tokens", "bytes", "contexts")
    return {"folder": str(corpus.folder)} | {name: getattr(corpus, name) for name in names}


def _in_words(corpus: Corpus, summary: Summary | None, selection: Selection | None, filters: FilterOptions) -> Iterator[str]:
    line = f"{corpus.folder}: {_count(corpus.documents, 'document')}"
    if corpus.failed:
        line += f", of which {corpus.failed:,} could not be scored (the first: {corpus.first_error})"
    line += f"; {_count(corpus.tokens, 'token')}, {_count(corpus.contexts, 'distinct context')}"
    if summary is not None and summary.whole.bits_per_byte is not None:
        line += f"; {summary.whole.bits_per_byte:.4g} bits per byte, perplexity {summary.whole.perplexity:.4g}"
    if selection is not None:
        yield f"{filters.into}: {_count(selection.selected, 'row')} of {selection.rows:,}"
    yield line


def _lines(estimate: Estimate) -> Iterator[str]:
    yield f"{_count(estimate.documents, 'document')}, {_count(estimate.bytes, 'byte')}, {_count(estimate.tokens, 'token')}"
    if estimate.failed:
        yield f"{estimate.failed:,} of them cannot be scored; the first: {estimate.first_error}"
    yield f"{_count(estimate.contexts, 'distinct context')} ({_share(estimate.contexts, estimate.tokens)} of the tokens)"
    workers = f"{_count(estimate.workers, 'worker')} of {_count(estimate.threads, 'thread')}"
    yield f"about {_time(estimate.seconds)} with {workers}, at {estimate.contexts_per_second:,.0f} contexts/s"


def _count(number: int, noun: str) -> str:
    """As `count`, with commas: "1,234 tokens"."""
    return f"{number:,} {count(number, noun).partition(' ')[2]}"


def _share(part: int, whole: int) -> str:
    return f"{part / max(1, whole):.1%}"


def _time(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6_000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"


def _say(sentence: str) -> None:
    note(f"chainrule: {sentence}")


@contextmanager
def _shown() -> Iterator[Callable[[Progress], None]]:
    """A function that shows progress: a bar on a terminal, else a line a minute."""
    with progress("tokens") as bar:
        yield _Lines().show if bar is None else _OnBar(bar).show


class _OnBar:
    """Shows progress as a bar."""

    def __init__(self, bar: Bar) -> None:
        self._bar = bar

    def show(self, state: Progress) -> None:
        self._bar.show(state.stage, state.tokens, state.documents, state.total, _words(state), state.tokens_per_second or 0.0)


class _Lines:
    """Shows progress as lines with the time of day."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def show(self, state: Progress) -> None:
        if time.monotonic() - self._last >= _LINE:
            self._last = time.monotonic()
            speed = "" if state.tokens_per_second is None else f", {state.tokens_per_second:,.0f} tokens/s"
            left = "" if state.seconds_left is None else f", about {_time(state.seconds_left)} left"
            note(f"chainrule: {time.strftime('%H:%M')} {state.stage}: {_words(state)}{speed}{left}")


def _words(state: Progress) -> str:
    of = "" if state.total is None else f"/{state.total:,}"
    parts = [f"{state.documents:,}{of} documents"]
    if state.failed:
        parts.append(f"{state.failed:,} failed")
    if state.distinct is not None:
        parts.append(f"{state.distinct:.0%} distinct")
    if state.memory:
        parts.append(f"{state.memory / 1e9:.1f} GB")
    return ", ".join(parts)
