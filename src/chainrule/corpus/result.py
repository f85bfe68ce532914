"""What a run gives: sums over the documents, and the rows, in the order of the input."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.corpus.output import Output
from chainrule.corpus.scored.parts import Parts, find_column
from chainrule.corpus.scored.quantiles import Thresholds, thresholds
from chainrule.corpus.scored.selection import Selection, select
from chainrule.corpus.scored.summary import Summary, summarise
from chainrule.errors import InputError

if TYPE_CHECKING:
    import pyarrow


@dataclass(frozen=True)
class Corpus:
    """A corpus that was scored: sums over its documents, those of earlier runs included, and the folder of its rows."""

    folder: Path
    documents: int
    failed: int  # of them, those that could not be scored: their column `error` says why
    tokens: int
    bytes: int  # UTF-8 bytes of the texts that were scored
    contexts: int  # contexts that the network computed
    first_error: str  # "" if there is none
    notes: tuple[str, ...] = ()  # about ids that are missing or used twice

    def to_arrow(self, columns: Sequence[str] | None = None) -> pyarrow.Table:
        """All rows, in the order of the input. columns: those to read (default: all). Raises InputError."""
        import pyarrow
        import pyarrow.compute

        parts = self._parts
        file, row = parts.ours("file"), parts.ours("row")
        read = None if columns is None else [*(find_column(parts.schema, name).name for name in columns), file, row]
        table = pyarrow.concat_tables(parts.tables(read))
        names = pyarrow.array([source["file"] for source in self.manifest()["sources"]], pyarrow.string())
        compute: Any = pyarrow.compute
        files = compute.index_in(table[file], value_set=names)
        table = table.take(np.lexsort((table[row].to_numpy(), files.to_numpy())))
        return table if columns is None else table.select(list(columns))

    def manifest(self) -> dict[str, Any]:
        """What was asked, of which files, and which model gave the numbers. Raises InputError."""
        manifest = Output(self.folder).manifest()
        if manifest is None:
            raise InputError(f"{self.folder} has no manifest: it is not the folder of a corpus that was scored")
        return manifest

    def thresholds(self, column: str = "bits_per_byte", by: str | None = None) -> Thresholds:
        """The bounds of the head, the middle and the tail of a column: a third of the scored documents each, lowest first.

        by: a column whose values have bounds of their own, such as a language. Raises InputError.
        """
        return thresholds(self._parts, column, by)

    def select(
        self, folder: str | os.PathLike[str], where: str | None = None, thresholds: Thresholds | None = None
    ) -> Selection:
        """Write the rows that satisfy a condition to a second folder, in parts of the same names.

        where: such as "bits_per_byte < 1.2 and lang == 'en'"; see docs/corpora.md. thresholds: adds the column `quantile`,
        "head", "middle" or "tail", which the condition can name. Raises InputError and OutputError.
        """
        return select(self._parts, folder, where, thresholds)

    def summary(self, by: str | None = None) -> Summary:
        """Sums, quantiles and a histogram of the rows, of all and by the values of a column. Raises InputError."""
        return summarise(self._parts, by)

    @property
    def _parts(self) -> Parts:
        return Parts(self.folder)


@dataclass(frozen=True)
class Estimate:
    """What scoring a corpus would take."""

    documents: int
    failed: int  # of them, those that cannot be scored
    tokens: int
    bytes: int
    contexts: int  # distinct contexts, which are what the network computes
    first_error: str
    workers: int
    threads: int  # of each worker
    contexts_per_second: float  # measured with some of the documents, by all workers

    @property
    def seconds(self) -> float:
        """The time that scoring takes at this speed."""
        return self.contexts / self.contexts_per_second
