"""What a run gives: sums over the documents, and the rows, in the order of the input."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from chainrule.corpus.output import Output

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
        import pyarrow.parquet

        output = Output(self.folder)
        manifest = output.manifest() or {}
        file, row = (manifest.get("renamed", {}).get(name, name) for name in ("file", "row"))
        read = None if columns is None else list(dict.fromkeys([*columns, file, row]))
        table = pyarrow.concat_tables([pyarrow.parquet.read_table(path, columns=read) for path in output.parts()])
        number_of = {source["file"]: number for number, source in enumerate(manifest.get("sources", []))}
        files = np.array([number_of[name] for name in table[file].to_pylist()], np.int64)
        table = table.take(np.lexsort((table[row].to_numpy(), files)))
        return table if columns is None else table.select(list(columns))

    def manifest(self) -> dict[str, object]:
        """What was asked, of which files, and which model gave the numbers."""
        return json.loads((self.folder / "_manifest.json").read_text("utf-8"))


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
