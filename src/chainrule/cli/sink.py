"""Output of rows to a file, to a terminal, as JSON lines or as CSV. Rows written before an error are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from types import TracebackType
from typing import TYPE_CHECKING, Any

from chainrule.cli.imports import pyarrow_without_pandas
from chainrule.cli.inputs import BadRow
from chainrule.cli.output import OUT, show
from chainrule.cli.signals import check, uninterrupted
from chainrule.errors import OutputError
from chainrule.files.row_text import json_text, write_csv
from chainrule.files.writing import Writer

if TYPE_CHECKING:
    import pyarrow


class Sink:
    """Writes rows, one shard at a time. Raises OutputError."""

    def __init__(self, output: str | None, json: bool = False, inputs: Sequence[str] = ()) -> None:
        if output is None:
            OUT.check()
        self.json, self.rows, self.next_row = json, 0, 0
        self._writer = None if output is None else Writer(output, inputs=inputs)

    @property
    def terminal(self) -> bool:
        """Whether rows are rendered for a terminal."""
        return self._writer is None and not self.json and OUT.isatty()

    @property
    def form(self) -> str:
        """The form of the rows: "csv", "jsonl" or "parquet"."""
        return self._writer.kind if self._writer is not None else "jsonl" if self.json else "csv"

    def __enter__(self) -> Sink:
        return self

    def write(
        self,
        table: Callable[[], pyarrow.Table],
        views: Callable[[], Iterable[Any]],
        objects: Callable[[], Iterable[Any]] = tuple,
        next_row: int = 0,
    ) -> None:
        """Write one shard. Only the form that this output needs is computed. next_row: the number of the input row after it.

        objects: dictionaries, or JSON objects as texts.
        """
        check()
        with nullcontext() if self._writer is None else uninterrupted():
            if self.json:
                self._write_lines(objects())
            elif self.terminal:
                show(*views())
            else:
                pyarrow_without_pandas()
                self._write_table(table())
            self.next_row = next_row

    def _write_lines(self, objects: Iterable[Any]) -> None:
        lines = [(item if isinstance(item, str) else json_text(item)) + "\n" for item in objects]
        OUT.writelines(lines)
        self.rows += len(lines)

    def _write_table(self, table: pyarrow.Table) -> None:
        if self._writer is None:
            write_csv(table, OUT, header=not self.rows)  # pyrefly: ignore[bad-argument-type]
        else:
            self._writer.write(table)
        self.rows += table.num_rows

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with uninterrupted():
            output_failed = self._writer is None and isinstance(error, OutputError)
            if error is not None and self.rows and self.next_row and not output_failed:
                error.add_note(self._keep(error))
            if self._writer is not None:
                self._writer.__exit__(kind, error, trace)

    def _keep(self, error: BaseException) -> str:
        """Keep the rows so far in an incomplete file. Returns a sentence for the error: where they are, and how to continue."""
        state = "written"
        if self._writer is not None:
            try:
                state = f"kept in {self._writer.keep()}"
            except OutputError:
                return "the rows so far could not be kept"
        bad = " (and --skip-bad to skip such rows)" if isinstance(error, BadRow) else ""
        return f"{self.rows} row{'s are' if self.rows != 1 else ' is'} {state}: continue with --from {self.next_row}{bad}"
