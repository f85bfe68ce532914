"""A function of one table of documents, for programs that divide the work themselves: Spark, datatrove, Ray Data, Dask."""

from __future__ import annotations

from functools import cached_property
from typing import Any, TypeVar

from chainrule.corpus.table import with_results
from chainrule.corpus.work import Loading, Part, Scoring, check_per
from chainrule.corpus.workers.worker import Worker
from chainrule.errors import InputError
from chainrule.results.frames import Frame
from chainrule.text.arguments import as_list, is_missing

Table = TypeVar("Table")


class TableScorer:
    """Scores the texts of a table, and gives the table back with the columns of `score_corpus` after its own.

    It can be pickled. The model is loaded by the process that scores the first table, which keeps it. A text that cannot be
    scored is a row with the reason in `error`.
    """

    # fmt: off
    def __init__(
        self, model: str | None = None, *, text: str = "text", per: str = "document", threads: int | None = None,
        tokenizer: str | None = None, dtype: str | None = None, device: str | None = None, start: str | int = "auto",
        revision: str | None = None, cache_dir: str | None = None, adapter: str | None = None,
        end: bool | int | None = None, special: str = "text", window: int | bool | None = None, stride: int | None = None,
        temperature: float = 1.0,
    ) -> None:
        # fmt: on
        """text: the column of the texts. The other arguments are those of `score_corpus` and of `load`."""
        check_per(per)
        self._text, self._threads = text, threads
        self._loading = Loading(model, tokenizer, dtype, device, start, revision, cache_dir, adapter)
        self._scoring = Scoring(per, end, special, window, stride, temperature)

    def __call__(self, table: Table) -> Table:
        """table: a DataFrame of pandas or Polars, or a Table or RecordBatch of Arrow. Raises InputError and ModelError."""
        frame = Frame(table)
        texts = [_text(value) for value in as_list(frame.column(self._text, "text="), "the texts")]
        errors = tuple("" if text else "it is empty, so there is no token to score" for text in texts)
        part = Part("", tuple(text or None for text in texts), errors, ("",) * len(texts), tuple(range(len(texts))))
        scored, errors = self._worker.scores(part)
        ours = with_results(part, errors, scored, self._scoring).drop_columns(["file", "row"])
        return frame.beside(ours, None)[0]

    @cached_property
    def _worker(self) -> Worker:
        return Worker.load(self._loading, self._scoring, self._threads)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_worker"}


def _text(value: Any) -> str | None:
    if is_missing(value):
        return None
    if not isinstance(value, str):
        raise InputError(f"a text must be a str, not {type(value).__name__}: {value!r:.60}")
    return value
