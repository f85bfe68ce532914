"""Rows of CSV and TSV files, with cells unchanged: Python's csv module in strict mode."""

from __future__ import annotations

import csv
import importlib.util
from collections.abc import Iterator
from functools import cache
from typing import Any

from chainrule.errors import InputError
from chainrule.files.opened import lines_of, name_of
from chainrule.files.rows import Row, no_column, row_of, shown


def csv_rows(file: str, columns: tuple[str, ...], encoding: str | None, delimiter: str, quotes: str | None) -> Iterator[Row]:
    """The rows of a file. quotes: "csv" (CSV quoting) or "text"; None: a cell that begins with a quote is an error."""
    name, kind = name_of(file), "CSV" if delimiter == "," else "TSV"
    with lines_of(file, encoding, newline="") as lines:
        quoting = csv.QUOTE_MINIMAL if quotes == "csv" else csv.QUOTE_NONE
        reader = _module().reader(lines, delimiter=delimiter, quoting=quoting, strict=True)
        rows = _checked(reader, name, kind, quotes)
        _, header = next(rows, (1, []))
        indices = _column_indices(header, columns, name, kind)
        for number, (line, cells) in enumerate(rows, 1):
            where = f"row {number} of {name}"
            if not cells:  # a blank line
                yield Row(where, (None,) * len(columns))
            elif len(cells) != len(header):
                message = (
                    f"{where} (line {line}) has {len(cells)} cell{'s' * (len(cells) != 1)}, but the header has {len(header)}"
                )
                remedy = 'quote cells that contain commas ("a, b")' if kind == "CSV" else "a tab within a cell splits it"
                yield Row(where, problem=f"{message}; {remedy}")
            else:
                yield row_of(where, columns, [cells[i] for i in indices], encoding)


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


def _checked(reader: Any, name: str, kind: str, quotes: str | None) -> Iterator[tuple[int, list[str]]]:
    """The rows, each with its first line number. Raises InputError at the first ambiguous or invalid quote."""
    line = 1
    try:
        for cells in reader:
            if quotes is None and (quoted := next((c for c in cells if c.startswith('"')), None)) is not None:
                raise InputError(
                    f"line {line} of {name}: a cell begins with a quote, {shown(quoted)}, which is ambiguous: use "
                    "--quotes text if the quote belongs to the text, --quotes csv if it encloses the cell"
                )
            yield line, cells
            line = reader.line_num + 1
    except _module().Error as error:
        remedy = "" if quotes != "csv" else "; --quotes text reads quotes as text"
        raise InputError(f"line {line} of {name} is not valid {kind}: {error}{remedy}") from None


def _column_indices(header: list[str], columns: tuple[str, ...], name: str, kind: str) -> list[int]:
    """The indices of the columns. Raises InputError."""
    if not header:
        raise InputError(f"line 1 of {name} is blank or missing: the first line of a {kind} names its columns")
    for column in columns:
        if (count := header.count(column)) != 1:
            raise InputError(f"{name}: " + (f"there are {count} columns {column!r}" if count else no_column(column, header)))
    return [header.index(column) for column in columns]
