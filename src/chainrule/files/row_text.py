"""Rows of Arrow tables as text: CSV and JSON lines."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Iterator
from datetime import date, datetime, time
from typing import TYPE_CHECKING, Any, TextIO

from chainrule.files.json_cells import for_csv, is_marked

if TYPE_CHECKING:
    import pyarrow

_PART = 8192  # rows converted to Python objects at a time


def json_text(value: Any, indent: int | None = None) -> str:
    """Strict JSON. Infinities and NaN, which JSON cannot represent as numbers, become strings such as "-Infinity"."""
    value = _strict(value)
    return (
        _ENCODE(value)
        if indent is None
        else json.dumps(value, ensure_ascii=False, indent=indent, allow_nan=False, default=_as_text)
    )


def write_csv(rows: pyarrow.Table, stream: TextIO, header: bool) -> None:
    """Comma-separated, to an open text stream: nothing for null, JSON for a list or an object."""
    stream.writelines(csv_text(rows, header))


def csv_text(rows: pyarrow.Table, header: bool) -> Iterator[str]:
    """Comma-separated lines, some at a time. header: whether the names of the columns come first."""
    import csv

    lines: list[str] = []
    writer = csv.writer(_Lines(lines))
    if header:
        writer.writerow(rows.column_names)
    marked = [is_marked(field) for field in rows.schema]
    for columns in _parts(rows):
        cells = [list(map(for_csv, c)) if m else _convert(c, _CSV) for c, m in zip(columns, marked, strict=True)]
        writer.writerows(zip(*cells, strict=True))
        yield "".join(lines)
        lines.clear()
    yield "".join(lines)  # the header of no rows


class _Lines:
    """Ends lines by "\\n". The csv module ends them by "\\r\\n", and quotes a lone "\\r" only then."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines

    def write(self, line: str) -> None:
        self._lines.append(line.removesuffix("\r\n") + "\n")


def json_lines(rows: pyarrow.Table) -> Iterator[str]:
    """A JSON object for each row, each on a line, some at a time."""
    for members in json_members(rows):
        yield "".join([f"{{{each}}}\n" for each in members])


def json_members(rows: pyarrow.Table) -> Iterator[list[str]]:
    """The JSON object of each row without its braces, some rows at a time.

    A column of JSON texts is written as it is, without the rows in which it is null: there the user's file has no such field.
    """
    marked = [(number, _ENCODE(field.name)) for number, field in enumerate(rows.schema) if is_marked(field)]
    others = [number for number in range(rows.num_columns) if number not in dict(marked)]
    names = [rows.column_names[number] for number in others]
    for columns in _parts(rows):
        values = (
            zip(*(_convert(columns[number], _JSON) for number in others), strict=True) if others else [()] * len(columns[0])
        )
        members = [_ENCODE(dict(zip(names, row, strict=True)))[1:-1] for row in values]
        for number, name in reversed(marked):
            members = [
                rest if text is None else f"{name}: {text}, {rest}" if rest else f"{name}: {text}"
                for text, rest in zip(columns[number], members, strict=True)
            ]
        yield members


def _parts(rows: pyarrow.Table) -> Iterator[list[list[Any]]]:
    """The columns as Python objects, some rows at a time."""
    for batch in rows.to_batches(max_chunksize=_PART):
        yield [_plain(column) for column in batch.columns]


def _plain(column: Any) -> list[Any]:
    """`to_pylist`, but many times faster for numbers."""
    import pyarrow

    kind = column.type
    if pyarrow.types.is_timestamp(kind) or pyarrow.types.is_time(kind):
        column = column.cast(pyarrow.string())  # Python's times have no nanoseconds
    elif pyarrow.types.is_duration(kind) and kind.unit == "ns":
        column = column.cast(pyarrow.int64())
    number = pyarrow.types.is_integer(kind) or pyarrow.types.is_floating(kind)
    return column.to_numpy().tolist() if number and not column.null_count else column.to_pylist()


def _convert(column: list[Any], convert: dict[type, Callable[[Any], Any]]) -> list[Any]:
    """The column with its values converted by their type, which is that of the first one that is not null."""
    first = next((value for value in column if value is not None), None)
    function = convert.get(type(first))
    return column if function is None else [None if value is None else function(value) for value in column]


def _strict(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _strict(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _as_text(value: Any) -> str:
    """A value that JSON does not have, such as a decimal number, as text: times in ISO 8601, bytes in base64."""
    match value:
        case datetime() | date() | time():
            return value.isoformat()
        case bytes():
            return base64.b64encode(value).decode()
        case _:
            return str(value)


_ENCODE = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=_as_text).encode
_JSON: dict[type, Callable[[Any], Any]] = dict.fromkeys((float, list, dict), _strict)
_CSV: dict[type, Callable[[Any], Any]] = {list: json_text, dict: json_text, bytes: _as_text}
