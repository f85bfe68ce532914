"""Rows of CSV and TSV files, with cells unchanged: Python's csv module in strict mode."""

from __future__ import annotations

import csv
import importlib.util
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING, Any

from chainrule.errors import InputError
from chainrule.files.opened import lines_of, name_of
from chainrule.files.rows import BLOCK, Row, check_names, problem_of, row_of, shown

if TYPE_CHECKING:
    import pyarrow

_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}


class CsvBlock:
    """Rows of a CSV or TSV file. A blank line is a row without cells."""

    def __init__(self, file: str, names: list[str], first: int, encoding: str | None, note: str = "") -> None:
        self.names, self.note = names, note
        self._name, self._first, self._encoding = name_of(file), first, encoding
        self._cells: list[list[str]] = []
        self._problems: dict[int, str] = {}  # of rows with another number of cells

    def add(self, cells: list[str], line: int, remedy: str) -> None:
        """Add the next row. line: its first line in the file. remedy: for a wrong number of cells."""
        if cells and len(cells) != len(self.names):
            has = f"has {len(cells)} cell{'s' * (len(cells) != 1)}, but the header has {len(self.names)}"
            self._problems[len(self._cells)] = f"{self._where(len(self._cells))} (line {line}) {has}; {remedy}"
        self._cells.append(cells)

    def __len__(self) -> int:
        return len(self._cells)

    @property
    def size(self) -> int:
        return sum(len(cell) + 50 for cells in self._cells for cell in cells)

    def _where(self, number: int) -> str:
        return f"row {self._first + number} of {self._name}"

    def rows(self, columns: Sequence[str], whole: bool = False) -> Iterator[Row]:
        check_names(self.names, self.names if whole else [], self._name)
        check_names(self.names, columns, self._name)
        indices = [self.names.index(column) for column in columns]
        for number, cells in enumerate(self._cells):
            where = self._where(number)
            if problem := self._problems.get(number):
                yield Row(where, problem=problem)
            elif not cells:
                yield Row(where, (None,) * len(columns))
            else:
                row = row_of(where, columns, [cells[i] for i in indices], self._encoding)
                if whole and not row.problem and not "".join(cells).isascii():
                    problem = row_of(where, self.names, cells, self._encoding).problem
                    row = Row(where, problem=problem) if problem else row
                yield row

    def table(self, numbers: Sequence[int]) -> pyarrow.Table:
        import pyarrow

        blank = [None] * len(self.names)
        columns = list(zip(*(self._cells[number] or blank for number in numbers), strict=True)) or [()] * len(self.names)
        return pyarrow.table([pyarrow.array(column, pyarrow.string()) for column in columns], names=self.names)

    def keys(self, column: str) -> list[str | None]:
        check_names(self.names, [column], self._name)
        index = self.names.index(column)
        return [cells[index] or None if len(cells) == len(self.names) else None for cells in self._cells]


def csv_blocks(file: str, encoding: str | None, separator: str | None, quotes: str | None) -> Iterator[CsvBlock]:
    """The rows of a file; one block at least. Raises InputError.

    separator: between cells; None: the one that splits the header. quotes: "csv" (CSV quoting) or "text"; None: a cell that
    begins with a quote is an error.
    """
    name = name_of(file)
    with lines_of(file, encoding, newline="") as lines:
        first, skipped, note = next(lines, ""), 0, ""
        if separator is None:
            if first.rstrip("\r\n").lower() in ("sep=,", "sep=;", "sep=\t"):  # Excel's own hint
                separator, first, skipped = first[4], next(lines, ""), 1
            else:
                separator, note = _separator(first, name)
        quoting = csv.QUOTE_MINIMAL if quotes == "csv" else csv.QUOTE_NONE
        reader = _module().reader(chain([first], lines), delimiter=separator, quoting=quoting, strict=True)
        kind = "TSV" if separator == "\t" else "CSV"
        rows = _checked(reader, name, kind, quotes, skipped)
        _, header = next(rows, (1, []))
        if not header:
            raise InputError(f"line {1 + skipped} of {name} is blank or missing: the first line of a {kind} names its columns")
        if problem := next(filter(None, (problem_of(column, encoding) for column in header)), ""):
            raise InputError(f"line {1 + skipped} of {name}, which names the columns, {problem}")
        remedy = "a tab within a cell splits it"
        if separator != "\t":
            remedy = f'quote cells that contain {_SEPARATORS.get(separator, separator)} ("a{separator} b")'
        block, number = CsvBlock(file, header, 1, encoding, note), 1
        try:
            for number, (line, cells) in enumerate(rows, 1):
                if len(block) == BLOCK:
                    yield block
                    block = CsvBlock(file, header, number, encoding)
                block.add(cells, line, remedy)
        except InputError:
            yield block  # rows before an error are kept
            raise
        yield block


def _separator(header: str, name: str) -> tuple[str, str]:
    """The separator that splits the header, and a note if several do."""
    outside = "".join(header.split('"')[::2])
    counts = {each: outside.count(each) for each in _SEPARATORS}
    best = max(counts, key=lambda each: counts[each])  # the first of several with the same count
    others = [_SEPARATORS[each] for each, count in counts.items() if count and each != best]
    if not others:
        return best, ""
    read = f"{name}: the first line has {_SEPARATORS[best]} and {' and '.join(others)}, and is split at {_SEPARATORS[best]}"
    return best, f"{read}; --separator names another separator"


@cache
def _module() -> Any:
    """A private copy of the csv module's core: its limit on the size of a cell is global to the process."""
    spec = importlib.util.find_spec("_csv")
    if spec is None or spec.loader is None:
        raise ImportError("this Python has no module _csv, which is needed for CSV")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.field_size_limit(2**31 - 1)
    return module


def _checked(reader: Any, name: str, kind: str, quotes: str | None, skipped: int) -> Iterator[tuple[int, list[str]]]:
    """The rows, each with its first line number. Raises InputError at the first ambiguous or invalid quote."""
    line = 1 + skipped
    try:
        for cells in reader:
            if quotes is None and (quoted := next((c for c in cells if c.startswith('"')), None)) is not None:
                raise InputError(
                    f"line {line} of {name}: a cell begins with a quote, {shown(quoted)}, which is ambiguous: use "
                    "--quotes text if the quote belongs to the text, --quotes csv if it encloses the cell"
                )
            yield line, cells
            line = reader.line_num + skipped + 1
    except _module().Error as error:
        remedy = "" if quotes != "csv" else "; --quotes text reads quotes as text"
        raise InputError(f"line {line} of {name} is not valid {kind}: {error}{remedy}") from None
