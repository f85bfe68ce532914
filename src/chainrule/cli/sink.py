"""Where rows go: a file, JSON lines, a terminal, or CSV for a pipe; what is done stays, however the command ends."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from types import TracebackType
from typing import TYPE_CHECKING, Any

from chainrule.cli.inputs import BadRow
from chainrule.cli.output import OUT, show
from chainrule.cli.signals import check, uninterrupted
from chainrule.errors import OutputError
from chainrule.files.writing import Writer, json_text, write_csv

if TYPE_CHECKING:
    import pyarrow


class Sink:
    """Takes rows a shard at a time. Raises OutputError."""

    def __init__(self, output: str | None, json: bool = False, inputs: Sequence[str] = ()) -> None:
        if output is None:
            OUT.check()
        self.json, self.rows, self.next = json, 0, 0
        self._writer = None if output is None else Writer(output, inputs=inputs)

    @property
    def terminal(self) -> bool:
        """Whether people look at it."""
        return self._writer is None and not self.json and OUT.isatty()

    def __enter__(self) -> Sink:
        return self

    def write(
        self,
        table: Callable[[], pyarrow.Table],
        views: Callable[[], Iterable[Any]],
        objects: Callable[[], Iterable[Any]] = tuple,
        after: int = 0,
    ) -> None:
        """Write one shard, behind the ones before it, in one of its forms. after: the number of the row that comes next."""
        check()
        with nullcontext() if self._writer is None else uninterrupted():
            if self.json:
                self._lines(objects())
            elif self.terminal:
                show(*views())
            else:
                self._rows(table())
            self.next = after

    def _lines(self, objects: Iterable[Any]) -> None:
        lines = [json_text(each) + "\n" for each in objects]
        OUT.writelines(lines)
        self.rows += len(lines)

    def _rows(self, table: pyarrow.Table) -> None:
        if self._writer is None:
            write_csv(table, OUT, header=not self.rows)  # pyrefly: ignore[bad-argument-type]
        else:
            self._writer.write(table)
        self.rows += table.num_rows

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with uninterrupted():
            lost = self._writer is None and isinstance(error, OutputError)  # standard output itself
            if error is not None and self.rows and self.next and not lost:
                error.add_note(self._kept(error))
            if self._writer is not None:
                self._writer.__exit__(kind, error, trace)

    def _kept(self, error: BaseException) -> str:
        """Marks the rows so far as incomplete; says where they are, and how to go on."""
        where = "written"
        if self._writer is not None:
            try:
                where = f"kept in {self._writer.keep()}"
            except OutputError:
                return "what was done could not be kept"
        bad = " (and --skip-bad to leave such rows out)" if isinstance(error, BadRow) else ""
        return f"{self.rows} row{'s are' if self.rows != 1 else ' is'} {where}: go on with --from {self.next}{bad}"


def table_of(rows: list[dict[str, Any]], types: dict[str, str]) -> pyarrow.Table:
    """Rows as a table whose columns have these types, whatever is in them."""
    import pyarrow

    schema = pyarrow.schema([(name, pyarrow.type_for_alias(kind)) for name, kind in types.items()])
    return pyarrow.Table.from_pylist(rows, schema)
