"""chainrule corpus: a run, its progress on standard error, and its sums on standard output."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from chainrule.cli.output import OUT, note, print_json
from chainrule.cli.progress import Bar, progress
from chainrule.corpus.score import estimate_corpus, score_corpus
from chainrule.results.units import count

if TYPE_CHECKING:
    from chainrule.corpus.progress import Progress
    from chainrule.corpus.result import Corpus, Estimate

_LINE = 60.0  # seconds between lines of a log


def scored(inputs: Sequence[str], output: str, model: str | None, options: dict[str, Any], json: bool) -> bool:
    """Score a corpus, and write its sums. Returns whether a document could not be scored."""
    with _shown() as show:
        corpus = score_corpus(inputs, output, model, say=_say, progress=show, **options)
    for sentence in corpus.notes:
        _say(sentence)
    if json:
        print_json(_sums(corpus))
    else:
        OUT.write(f"{_in_words(corpus)}\n")
    return corpus.failed > 0


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


def _in_words(corpus: Corpus) -> str:
    line = f"{corpus.folder}: {count(corpus.documents, 'document')}"
    if corpus.failed:
        line += f", of which {corpus.failed:,} could not be scored (the first: {corpus.first_error})"
    return f"{line}; {count(corpus.tokens, 'token')}, {_share(corpus.contexts, corpus.tokens)} of contexts distinct"


def _lines(estimate: Estimate) -> Iterator[str]:
    yield f"{count(estimate.documents, 'document')}, {count(estimate.bytes, 'byte')}, {count(estimate.tokens, 'token')}"
    if estimate.failed:
        yield f"{estimate.failed:,} of them cannot be scored; the first: {estimate.first_error}"
    yield f"{count(estimate.contexts, 'distinct context')} ({_share(estimate.contexts, estimate.tokens)} of the tokens)"
    workers = f"{count(estimate.workers, 'worker')} of {count(estimate.threads, 'thread')}"
    yield f"about {_time(estimate.seconds)} with {workers}, at {estimate.contexts_per_second:,.0f} contexts/s"


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
