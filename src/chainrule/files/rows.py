"""One row of a file: the requested cells, its location, and the reason if it cannot be used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

UTF8 = "utf-8"


class Number(str):
    """A JSON number in its original spelling, of any length. It does not count as text."""

    __slots__ = ()

    __repr__ = str.__str__


@dataclass(frozen=True, slots=True)
class Row:
    """`cells` are in the order of the requested columns. None is a null or a blank line."""

    where: str  # "line 3 of texts.txt"
    cells: tuple[str | None, ...] = ()
    problem: str = ""  # includes the location


def row_of(where: str, columns: tuple[str, ...], values: list[Any], encoding: str | None = None, raw: str = "") -> Row:
    """A row of these values, each of which must be a text or None. raw: the source text, with its escapes."""
    for column, value in zip(columns, values, strict=True):
        if problem := problem_of(value, encoding, raw):
            return Row(where, problem=f"{where}: column {column!r} {problem}")
    return Row(where, tuple(values))


def no_column(column: str, columns: Any) -> str:
    """The message for a missing column."""
    return f"there is no column {column!r}; the columns are: {shown(', '.join(map(str, columns)))}"


def shown(value: object) -> str:
    """At most 60 characters of the value, on one line."""
    text = str(value) if isinstance(value, str) else repr(value)
    return " ".join((text if len(text) <= 60 else text[:57] + "...").split())


def problem_of(value: Any, encoding: str | None, raw: str = "") -> str:
    """The reason that a value is not a usable text; "" if it is one, or None. See `row_of`."""
    if value is None:
        return ""
    if not isinstance(value, str) or isinstance(value, Number):
        return f"contains {shown(value)}, which is not text"
    if value.isascii():
        return ""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        bad = value[error.start]
        if not (0xDC80 <= ord(bad) <= 0xDCFF and bad in (raw or value)):  # no byte that could not be decoded (surrogateescape)
            return f"contains half a character, \\u{ord(bad):04x}, which is not text"
        at = len(value[: error.start].encode(UTF8, "surrogateescape"))
        return f"{bad_byte(ord(bad) - 0xDC00, at, encoding)}; set the encoding with --encoding (latin-1, cp1252 …)"
    return ""


def bad_byte(byte: int, at: int, encoding: str | None = None) -> str:
    """The message for a byte that is not part of a character."""
    return f"is not {(encoding or UTF8).upper()}: byte 0x{byte:02x} at offset {at}"
