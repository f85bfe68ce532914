"""Rows of JSON files: one object per line, or an array of objects or texts. Numbers keep their spelling."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from chainrule.errors import InputError
from chainrule.files.json_cells import DEEPEST, MARK, Kinds, encoded
from chainrule.files.opened import lines_of, name_of
from chainrule.files.rows import BLOCK, Number, Row, no_column, problem_of, row_of, shown

if TYPE_CHECKING:
    import pyarrow

TEXT = "text"  # the column of an array of texts


class _Object(dict):
    """A JSON object, and the set of its duplicate names."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.twice = set() if len(self) == len(pairs) else {name for name, _ in pairs if [n for n, _ in pairs].count(name) > 1}


_DECODE = json.JSONDecoder(object_pairs_hook=_Object, parse_int=Number, parse_float=Number, parse_constant=Number).decode


class JsonBlock:
    """Rows of a JSON file: objects, texts and nulls. The columns are the names of all objects, in order of appearance."""

    note = ""

    def __init__(self, where: str, first: int, encoding: str | None) -> None:
        """where: "line {} of a.jsonl"."""
        self._where, self._first, self._encoding = where, first, encoding
        self._values: list[Any] = []
        self._raw: list[str] = []  # the source texts, with their escapes
        self._problems: dict[int, str] = {}

    def add(self, value: Any, raw: str, problem: str = "") -> None:
        """Add the next row. problem: what follows its location, if it has no value."""
        if problem:
            self._problems[len(self)] = problem
        self._values.append(value)
        self._raw.append(raw)

    def __len__(self) -> int:
        return len(self._values)

    @cached_property
    def names(self) -> list[str]:
        return list(dict.fromkeys(name for row in self.objects for name in row))

    @property
    def size(self) -> int:
        lines = {id(raw): len(raw) for raw in self._raw}
        return 500 * len(self) + (4 * sum(lines.values()) if len(lines) == len(self) else 0)  # else: parts of one text

    @cached_property
    def objects(self) -> list[dict[str, Any]]:
        """Every row as an object; an empty one for a row that is none."""
        return [value if isinstance(value, dict) else {TEXT: value} if _is_text(value) else {} for value in self._values]

    def location(self, number: int) -> str:
        """Where a row is."""
        return self._where.format(self._first + number)

    def rows(self, columns: Sequence[str], whole: bool = False) -> Iterator[Row]:
        for number, (value, raw) in enumerate(zip(self._values, self._raw, strict=True)):
            where = self.location(number)
            if number in self._problems:
                yield Row(where, problem=where + self._problems[number])
            elif value is None:
                yield Row(where, (None,) * len(columns))
            elif _is_text(value) and len(columns) <= 1:
                yield row_of(where, columns, [value][: len(columns)], self._encoding, raw)
            elif not isinstance(value, _Object):
                yield Row(where, problem=f"{where} is not a JSON object but {shown(value)}")
            else:
                yield self._row(where, columns, value, raw, whole)

    def _row(self, where: str, columns: Sequence[str], value: _Object, raw: str, whole: bool) -> Row:
        try:
            cells = [_found(value, column) for column in columns]
        except KeyError as missing:
            return Row(where, problem=f"{where}: {missing.args[0]}")
        row = row_of(where, columns, cells, self._encoding, raw)
        if whole and not row.problem:
            for name, each in value.items():
                problem = _twice(value, name) or _problem_within(name, name, self._encoding, raw)
                problem = problem or _problem_within(each, name, self._encoding, raw)
                if problem:
                    return Row(where, problem=f"{where}: {problem}")
        return row

    def table(self, numbers: Sequence[int], kinds: Kinds | None = None) -> pyarrow.Table:
        """All columns of some of the rows, as JSON texts; as values of these kinds, if they are given.

        A row without a column has null there; a null of the file is the JSON text "null".
        """
        import pyarrow

        rows = [self.objects[number] for number in numbers]
        if kinds is not None:
            return pyarrow.table({name: kinds.array(name, rows) for name in kinds.of})
        names = dict.fromkeys(name for row in rows for name in row)
        schema = pyarrow.schema([pyarrow.field(name, pyarrow.string(), metadata=MARK) for name in names])
        arrays = [[encoded(row[name]) if name in row else None for row in rows] for name in names]
        return pyarrow.table([pyarrow.array(array, pyarrow.string()) for array in arrays], schema=schema)

    def keys(self, column: str) -> list[str | None]:
        values = [row.get(column) for row in self.objects]
        return [value or None if _is_text(value) else None if value is None else encoded(value) for value in values]


def json_line_blocks(file: str, encoding: str | None) -> Iterator[JsonBlock]:
    """The rows of a file with one object per line. A blank line or null is a row without a text."""
    where = f"line {{}} of {_braced(file)}"
    block = JsonBlock(where, 1, encoding)
    with lines_of(file, encoding, newline="\n") as lines:
        try:
            for number, line in enumerate(lines, 1):
                if len(block) == BLOCK:
                    yield block
                    block = JsonBlock(where, number, encoding)
                text = line.strip(" \t\r\n")
                try:
                    block.add(_DECODE(text) if text else None, text)
                except json.JSONDecodeError as error:
                    block.add(None, text, f" is not valid JSON: {error.msg} at character {line.index(text) + error.pos + 1}")
                except RecursionError:
                    block.add(None, text, " is nested too deeply")
        except InputError:
            yield block  # rows before an error are kept
            raise
    yield block


def json_array_blocks(file: str, encoding: str | None) -> Iterator[JsonBlock]:
    """The rows of an array of objects, or of texts, which are the cells of the one requested column."""
    name = name_of(file)
    with lines_of(file, encoding, newline="\n") as lines:
        text = "".join(lines)
    try:
        values = _DECODE(text)
    except json.JSONDecodeError as error:
        hint = "; for one object per line, use --format jsonl" if error.msg == "Extra data" else ""
        raise InputError(
            f"{name} is not valid JSON: {error.msg} at line {error.lineno}, character {error.colno}{hint}"
        ) from None
    except RecursionError:
        raise InputError(f"{name} is nested too deeply") from None
    if not isinstance(values, list):
        raise InputError(f"{name} is not a JSON array but {shown(values)}; for one object per line, use --format jsonl")
    for first in range(0, len(values) or 1, BLOCK):
        block = JsonBlock(f"row {{}} of {_braced(file)}", first + 1, encoding)
        for value in values[first : first + BLOCK]:
            block.add(value, text)
        yield block


def _braced(file: str) -> str:
    return name_of(file).replace("{", "{{").replace("}", "}}")


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and not isinstance(value, Number)


def _found(value: _Object, column: str) -> Any:
    """The value of a column, or of a nested field such as a.b if no column has this name. Raises KeyError with a message."""
    if column in value or "." not in column:
        if column not in value:
            raise KeyError(no_column(column, value))
        if problem := _twice(value, column):
            raise KeyError(problem)
        return value[column]
    found, names = value, column.split(".")
    for number, name in enumerate(names):
        before = ".".join(names[:number])
        if found is None:
            return None
        if not isinstance(found, _Object):
            raise KeyError(f"there is no column {column!r}: {before!r} is not an object but {shown(found)}")
        if name not in found:
            raise KeyError(no_column(column, found) if not before else f"{no_column(column, found)} (of {before!r})")
        if problem := _twice(found, name):
            raise KeyError(problem)
        found = found[name]
    return found


def _twice(value: _Object, name: str) -> str:
    return f"there are two columns {name!r}" if name in value.twice else ""


def _problem_within(value: Any, column: str, encoding: str | None, raw: str, depth: int = 0) -> str:
    """Why a value cannot be kept: bytes that are no text, half a character, two fields of one name; "" if it can."""
    if isinstance(value, str):
        if value.isascii():
            return ""
        problem = problem_of(str.__str__(value), encoding, raw)
        return problem and f"column {column!r} {problem}"
    if not isinstance(value, list | _Object):
        return ""
    if depth == DEEPEST:
        return f"column {column!r} is nested too deeply"
    if isinstance(value, _Object) and value.twice:
        return f"there are two fields {sorted(value.twice)[0]!r} in column {column!r}"
    within = [*value, *value.values()] if isinstance(value, _Object) else value
    return next(filter(None, (_problem_within(each, column, encoding, raw, depth + 1) for each in within)), "")
