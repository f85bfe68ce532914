"""A run over a corpus: what is asked, what is done already, and the rest, in the order of the input."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from itertools import chain
from typing import TYPE_CHECKING, Any

from chainrule.corpus.ahead import ahead
from chainrule.corpus.documents import WINDOW, Documents, Window
from chainrule.corpus.manifest import refuse_differences, sources_of
from chainrule.corpus.output import Output, part_name
from chainrule.corpus.plan import cut
from chainrule.corpus.progress import Meter, Progress
from chainrule.corpus.result import Corpus, Estimate
from chainrule.corpus.sources import SourceFile, find_files, refuse_changed, survey
from chainrule.corpus.stopping import Stopping
from chainrule.corpus.table import result_columns
from chainrule.corpus.work import Loading, Part, Scored, Scoring, Tally
from chainrule.corpus.workers.choice import Choice, choose, size_of_part
from chainrule.corpus.workers.pool import Job, Pool
from chainrule.corpus.workers.processes import Processes
from chainrule.errors import InputError, OutputError
from chainrule.files.columns import Columns
from chainrule.files.reading import Layout
from chainrule.results.beside import beside
from chainrule.results.rows import arrow_type
from chainrule.results.units import count

if TYPE_CHECKING:
    import pyarrow

    from chainrule.language import LanguageModel

_MANY = 2**28  # bytes of a corpus from which lists are large: compressed, it may have 2³¹ bytes, which may all be tokens
_AHEAD = 4  # parts that are read before a worker takes them


@dataclass(frozen=True)
class Asked:
    """What a run is asked to do."""

    inputs: tuple[str, ...]
    layout: Layout = field(default_factory=Layout)
    columns: Columns = field(default_factory=Columns)
    keep: tuple[str, ...] | None = ()  # the columns that come back; None: all
    limit: int | None = None
    strict: bool = False
    loading: Loading = field(default_factory=Loading)
    scoring: Scoring = field(default_factory=Scoring)
    workers: int | None = None  # None: chosen by measuring
    size: int | None = None  # of a part, in characters; None: by measuring
    ray: str | None = None  # the address of a Ray cluster to score on
    window: int = WINDOW  # documents whose beginnings are shared

    def settings(self) -> dict[str, Any]:
        """What the manifest records of it, without the model, which its weights identify."""
        scoring = {name: value for name, value in vars(self.scoring).items() if name != "large_lists"}
        scoring |= {"limit": self.limit, "share": self.window}
        columns = {"text": self.columns.text, "id": self.columns.id, "keep": "all" if self.keep is None else list(self.keep)}
        return {"scoring": scoring, "columns": columns, "layout": vars(self.layout)}


class Run:
    """One run. `say` receives sentences for the user, and `show` the progress."""

    def __init__(
        self,
        asked: Asked,
        lm: LanguageModel | None,
        say: Callable[[str], None],
        show: Callable[[Progress], None] = lambda progress: None,
    ) -> None:
        """Find and hash the files. lm: a model in memory; None: each worker loads the model. Raises InputError."""
        self.asked, self._lm, self._say, self._show = asked, lm, say, show
        self.meter, self.stopping = Meter(None), Stopping(say)
        self._pids: Callable[[], Iterable[int]] = tuple
        self._shown = 0.0
        files, notes = find_files(asked.inputs, asked.layout)
        for note in notes:
            say(note)
        self.documents = Documents(files, asked.layout, asked.columns, asked.keep, asked.limit, asked.strict, say)
        self._tick()
        self.sources = survey(files, asked.layout, self._hashed)
        self.meter.total = _total(self.sources, asked.limit)

    def score(self, output: Output, fresh: bool = False) -> Corpus:
        """Score all documents that have not been scored. Raises ChainruleError, and KeyboardInterrupt.

        fresh: whether the parts of earlier runs are removed first.
        """
        if fresh:
            output.clear()
        manifest, settings = output.manifest(), self._settings()
        windows = self.documents.windows(self.asked.window)
        with self.stopping.watching(), self._pool() as pool:
            if manifest is None:
                first, choice = self._measured(windows, pool)
                size = self.asked.size or size_of_part(choice, self._characters)
                output.write_manifest({**settings, "part_size": size, "asked": vars(self.asked.loading), "model": pool.about})
                parts: Iterator[Part] = self._todo(chain([first], windows), size, output)
            else:
                refuse_differences(manifest, settings, str(output.folder))
                parts = self._rest(self._todo(windows, manifest["part_size"], output), pool, manifest, output)
            self._run(pool, "score", parts, lambda scored: self._written(output, scored))
        refuse_changed(self.sources)
        return Corpus(output.folder, **vars(self.meter.all), notes=tuple(self.documents.ids.notes()))

    def count(self) -> Estimate:
        """The tokens and distinct contexts of all documents, and how fast they would be scored. Nothing is written."""
        windows = self.documents.windows(self.asked.window)
        with self.stopping.watching(), self._pool() as pool:
            first, choice = self._measured(windows, pool, exact=True)
            size = self.asked.size or size_of_part(choice, self._characters)
            parts = (part for window in chain([first], windows) for part in self._parts(window, size))
            self._run(pool, "count", ahead(parts, _AHEAD), lambda tally: tally)
        return Estimate(
            **vars(self.meter.all), workers=choice.workers, threads=choice.threads, contexts_per_second=choice.contexts
        )

    @property
    def schema(self) -> pyarrow.Schema:
        """The columns of the output."""
        import pyarrow

        ours = pyarrow.table(
            {column.name: pyarrow.array([], arrow_type(column.type)) for column in result_columns(self.scoring)}
        )
        return beside(self.documents.kept.schema.empty_table(), ours)[0].schema

    @property
    def _characters(self) -> int:
        """About how many characters there are to score."""
        size = sum(file.size for file in self.sources)
        rows = sum(file.rows or 0 for file in self.sources)
        return size if self.asked.limit is None or not rows else round(size * min(1.0, self.asked.limit / rows))

    def _settings(self) -> dict[str, Any]:
        settings = self.asked.settings() | {"chainrule": version("chainrule"), "sources": sources_of(self.sources)}
        return settings if self.asked.size is None else settings | {"part_size": self.asked.size}

    def _pool(self) -> Pool:
        if self._lm is not None:
            from chainrule.corpus.workers.here import Here
            from chainrule.corpus.workers.worker import Worker

            return Here(Worker(self._lm, self.scoring))
        if self.asked.ray is not None:
            from chainrule.corpus.workers.on_ray import OnRay

            return OnRay(self.asked.ray, self.asked.loading, self.scoring, self._say)
        return Processes(self.asked.loading, self.scoring, self._say)

    @property
    def scoring(self) -> Scoring:
        """How documents are scored."""
        return replace(self.asked.scoring, large_lists=sum(file.size for file in self.sources) >= _MANY)

    def _measured(self, windows: Iterator[Window], pool: Pool, exact: bool = False) -> tuple[Window, Choice]:
        """The first window, and workers, which have been started."""
        first = next(windows, None)
        if first is None:
            raise InputError("there is nothing to score: the files have no rows")
        return first, self._started(pool, first.texts, self._characters, exact)

    def _started(self, pool: Pool, texts: Sequence[str | None], total: int, exact: bool = False) -> Choice:
        """Start workers. texts: to measure with, exactly if the speed is what is wanted."""
        self.meter.stage = "loading"
        self._pids = lambda: pool.pids
        self._tick()
        sample = [text for text in texts if text is not None] or ["a"]
        choice = choose(pool, sample, total, self.asked.workers, exact)
        threads = "" if self._lm is not None else f", {count(choice.threads, 'thread')} each"
        reason = f" ({choice.reason})" if choice.reason else ""
        self._say(f"{count(choice.workers, 'worker')}{threads}{reason}")
        return choice

    def _rest(self, parts: Iterator[Part], pool: Pool, manifest: dict[str, Any], output: Output) -> Iterator[Part]:
        """The parts that a run before has left. Workers are started if there are any, or if the model may be another one."""
        head = next(parts, None)
        if head is None and self._lm is None and manifest["asked"] == vars(self.asked.loading):
            return iter(())
        if self._lm is None or head is not None:
            done = self.meter.earlier.documents / max(1, self.meter.total or 1)
            self._started(pool, () if head is None else head.texts, round(self._characters * max(0.0, 1 - done)))
        refuse_differences({"model": manifest["model"]}, {"model": pool.about}, str(output.folder))
        return parts if head is None else chain([head], parts)

    def _todo(self, windows: Iterable[Window], size: int, output: Output) -> Iterator[Part]:
        """The parts that are not done. Those that are done are counted."""
        for event in ahead(self._events(windows, size, output), _AHEAD):
            if isinstance(event, Part):
                yield event
            elif isinstance(event, Tally):
                self.meter.earlier += event
                self._check(event)
                self._tick()
            else:
                self._say(event)

    def _events(self, windows: Iterable[Window], size: int, output: Output) -> Iterator[Part | Tally | str]:
        for window in windows:
            for part in self._parts(window, size):
                try:
                    yield output.done(part) or part
                except InputError as error:
                    yield f"{part.name} is scored again: {error}"
                    yield part

    def _parts(self, window: Window, size: int) -> Iterator[Part]:
        for number, chosen in enumerate(cut([text or "" for text in window.texts], size)):
            yield window.part(part_name(window.number, number), chosen)

    def _run(self, pool: Pool, method: str, parts: Iterator[Part], tally: Callable[[Any], Tally]) -> None:
        self.meter.start("scoring" if method == "score" else "counting")

        def done(result: Any) -> None:
            self.meter.now += tally(result)
            self._tick()

        pool.run(Job(method, parts, done, self._tick, lambda: bool(self.stopping)))
        if self.stopping and method == "score":
            self._say(self._kept())

    def _written(self, output: Output, scored: Scored) -> Tally:
        try:
            output.write(scored.name, scored.file)
        except OutputError as error:
            error.add_note(self._kept())
            raise
        self._check(scored.tally)
        return scored.tally

    def _kept(self) -> str:
        """What a run that stops leaves."""
        return f"{count(self.meter.all.documents, 'document')} are done; the same command goes on from there"

    def _check(self, tally: Tally) -> None:
        """Raises InputError for a document that could not be scored, if that is to stop the run."""
        if self.asked.strict and tally.failed:
            raise InputError(f"{tally.first_error} (--strict)")

    def _hashed(self, size: int) -> None:
        """Show progress about twice a second while files are hashed."""
        if time.monotonic() - self._shown > 0.5:
            self._tick()

    def _tick(self) -> None:
        self._shown = time.monotonic()
        self._show(self.meter.state(self._pids()))


def _total(sources: Sequence[SourceFile], limit: int | None) -> int | None:
    """About how many documents there are; None: unknown."""
    rows = [file.rows for file in sources]
    known = sum(number for number in rows if number is not None)
    if None in rows:
        return None
    return known if limit is None else min(known, limit)
