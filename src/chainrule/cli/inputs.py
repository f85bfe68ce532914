"""Texts from arguments, files and standard input, each with the place it came from."""

from __future__ import annotations

import codecs
import csv
import json
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from chainrule.errors import InputError


@dataclass(frozen=True)
class Columns:
    """Which columns of a table hold the texts, their contexts and their second segments."""

    text: str
    context: str | None = None
    pair: str | None = None


@dataclass(frozen=True)
class Record:
    """One text to score: a text or a pair, its context, and where it stood."""

    item: str | tuple[str, str]
    context: str | None
    where: str


def numbers(given: str, option: str) -> list[int]:
    """Whole numbers with commas between them. Raises InputError."""
    try:
        return [int(each) for each in given.split(",")]
    except ValueError:
        raise InputError(f"{option} takes whole numbers with commas between them, such as 1,2, not {given!r}") from None


def orders(given: list[str] | None) -> Any:
    """What --order names, as the library takes it: "0,4,2,1,3" is a permutation, several of them are a list."""
    read = [
        tuple(map(int, each.split(","))) if re.fullmatch(r"\s*-?\d+(\s*,\s*-?\d+)*\s*", each) else each for each in given or []
    ]
    return read[0] if len(read) == 1 else read or None


def read(texts: list[str], file: str | None, columns: Columns, context: str | None, skip_empty: bool) -> Iterator[Record]:
    """Texts given as arguments, else those of a file, else those of standard input. Raises InputError, naming the place."""
    if texts and file is not None:
        raise InputError("give texts or --file, not both")
    if context is not None and columns.context is not None:
        raise InputError("give --context or --context-column, not both")
    if texts:
        rows: Iterable[tuple[str, dict[str, Any]]] = ((f"text {i}", {columns.text: t}) for i, t in enumerate(texts, 1))
    else:
        if file is None and sys.stdin.isatty():
            raise InputError("there is nothing to score: give a text, --file, or pipe texts in")
        rows = _rows(file or "-", columns.text)
    return _records(rows, columns, context, skip_empty)


def _records(
    rows: Iterable[tuple[str, dict[str, Any]]], columns: Columns, context: str | None, skip_empty: bool
) -> Iterator[Record]:
    for where, row in rows:
        text = _cell(row, columns.text, where)
        if not text:
            if skip_empty:
                continue
            raise InputError(f"{where} is empty, so there is no token to score; --skip-empty leaves such lines out")
        before = context if columns.context is None else _cell(row, columns.context, where)
        yield Record(text if columns.pair is None else (text, _cell(row, columns.pair, where)), before, where)


def _cell(row: dict[str, Any], column: str, where: str) -> str:
    if column not in row:
        raise InputError(f"{where}: there is no column {column!r}; there are: {', '.join(map(str, row))}")
    if not isinstance(row[column], str):
        raise InputError(f"{where}: column {column!r} holds {row[column]!r}, which is no text")
    return row[column]


def _rows(file: str, text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every row of a file with its place; a plain line is a row with one column."""
    suffix = "" if file == "-" else Path(file).suffix.lower()
    if suffix == ".parquet":
        yield from _parquet(file)
        return
    with opened(file) as stream:
        lines = _lines(stream, "standard input" if file == "-" else file)
        if suffix in (".csv", ".tsv"):
            yield from _csv(lines, file, "\t" if suffix == ".tsv" else ",")
        elif suffix in (".jsonl", ".ndjson"):
            yield from ((where, _object(line, where)) for where, line in lines)
        else:
            yield from ((where, {text: line}) for where, line in lines)


def opened(file: str) -> IO[bytes]:
    """A file, or standard input for "-", to read bytes from. Raises InputError."""
    if file == "-":
        return sys.stdin.buffer
    try:
        return open(file, "rb")
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror or error}") from error


def _lines(stream: IO[bytes], name: str) -> Iterator[tuple[str, str]]:
    for number, raw in enumerate(stream, 1):
        where = f"line {number} of {name}"
        if number == 1:
            raw = raw.removeprefix(codecs.BOM_UTF8)
        yield where, decoded(raw, where).removesuffix("\n").removesuffix("\r")


def decoded(raw: bytes, where: str) -> str:
    """UTF-8 as text. Raises InputError, naming the place."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{where} is not UTF-8: byte 0x{raw[error.start]:02x} at its byte {error.start}; convert it to UTF-8 first"
        ) from error


def _csv(lines: Iterator[tuple[str, str]], file: str, delimiter: str) -> Iterator[tuple[str, dict[str, Any]]]:
    reader = csv.DictReader((line + "\n" for _, line in lines), delimiter=delimiter, strict=True)
    try:
        for number, row in enumerate(reader, 1):
            yield f"row {number} of {file}", row
    except csv.Error as error:
        raise InputError(f"line {reader.line_num} of {file} is no CSV: {error}") from error


def _object(line: str, where: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(f"{where} is no JSON: {error.msg} at its character {error.pos}") from error
    if not isinstance(value, dict):
        raise InputError(f"{where} is no JSON object, but {line[:60]}")
    return value


def _parquet(file: str) -> Iterator[tuple[str, dict[str, Any]]]:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.ParquetFile(file)
    except (OSError, pyarrow.ArrowException) as error:
        raise InputError(f"cannot read {file}: {str(error).splitlines()[0]}") from error
    number = 0
    for batch in table.iter_batches(batch_size=1024):
        for row in batch.to_pylist():
            number += 1
            yield f"row {number} of {file}", row
