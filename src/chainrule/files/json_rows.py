"""Rows of JSON files: one object per line, or an array of objects or texts. Numbers keep their spelling."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from chainrule.errors import InputError
from chainrule.files.opened import lines_of, name_of
from chainrule.files.rows import Number, Row, no_column, row_of, shown


class _Object(dict):
    """A JSON object, and the set of its duplicate names."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.twice = set() if len(self) == len(pairs) else {name for name, _ in pairs if [n for n, _ in pairs].count(name) > 1}


_DECODE = json.JSONDecoder(object_pairs_hook=_Object, parse_int=Number, parse_float=Number, parse_constant=Number).decode


def json_line_rows(file: str, columns: tuple[str, ...], encoding: str | None) -> Iterator[Row]:
    """The rows of a file with one object per line. A blank line or null is a row without a text."""
    with lines_of(file, encoding, newline="\n") as lines:
        for number, line in enumerate(lines, 1):
            where = f"line {number} of {name_of(file)}"
            text = line.strip(" \t\r\n")
            if not text:
                yield Row(where, (None,) * len(columns))
                continue
            try:
                value = _DECODE(text)
            except json.JSONDecodeError as error:
                at = line.index(text) + error.pos + 1
                yield Row(where, problem=f"{where} is not valid JSON: {error.msg} at character {at}")
            except RecursionError:
                yield Row(where, problem=f"{where} is nested too deeply")
            else:
                yield _row(where, columns, value, encoding, text)


def json_array_rows(file: str, columns: tuple[str, ...], encoding: str | None) -> Iterator[Row]:
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
    for number, value in enumerate(values, 1):
        where = f"row {number} of {name}"
        if type(value) is str and len(columns) == 1:
            yield row_of(where, columns, [value], encoding, raw=text)
        else:
            yield _row(where, columns, value, encoding, text)


def _row(where: str, columns: tuple[str, ...], value: Any, encoding: str | None, raw: str) -> Row:
    if value is None:
        return Row(where, (None,) * len(columns))
    if not isinstance(value, _Object):
        return Row(where, problem=f"{where} is not a JSON object but {shown(value)}")
    for column in columns:
        if column not in value:
            return Row(where, problem=f"{where}: {no_column(column, value)}")
        if column in value.twice:
            return Row(where, problem=f"{where}: there are two columns {column!r}")
    return row_of(where, columns, [value[column] for column in columns], encoding, raw)
