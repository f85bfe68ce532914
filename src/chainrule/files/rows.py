"""Rows of a file: the requested cells of each, its location, and the reason if it cannot be used; and blocks of whole rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from chainrule.errors import InputError

if TYPE_CHECKING:
    import pyarrow

UTF8 = "utf-8"
BLOCK = 1024  # rows that are read at a time


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


class Block(Protocol):
    """Some consecutive rows of a file with all of their columns. Rows are numbered from 0 within the block."""

    @property
    def names(self) -> Sequence[str]:
        """The names of the columns, in the order of the file; none for plain lines."""
        ...

    @property
    def note(self) -> str:
        """What to tell the user about how the file is read; mostly nothing."""
        ...

    def __len__(self) -> int: ...

    @property
    def size(self) -> int:
        """About how many bytes of memory it takes."""
        ...

    def rows(self, columns: Sequence[str], whole: bool = False) -> Iterator[Row]:
        """The rows with their texts in these columns. Raises InputError if there is no such column.

        whole: whether a row whose other cells cannot be read has a problem too.
        """
        ...

    def table(self, numbers: Sequence[int]) -> pyarrow.Table:
        """All columns of some of the rows."""
        ...

    def keys(self, column: str) -> list[str | None]:
        """The values of a column in all rows, as texts; None for a missing or empty one. Raises InputError."""
        ...


def row_of(where: str, columns: Sequence[str], values: Sequence[Any], encoding: str | None = None, raw: str = "") -> Row:
    """A row of these values, each of which must be a text or None. raw: the source text, with its escapes."""
    for column, value in zip(columns, values, strict=True):
        if problem := problem_of(value, encoding, raw):
            return Row(where, problem=f"{where}: column {column!r} {problem}")
    return Row(where, tuple(values))


def no_column(column: str, columns: Any) -> str:
    """The message for a missing column."""
    return f"there is no column {column!r}; {listed(columns)}"


def listed(columns: Any) -> str:
    """The columns that there are, for a message."""
    return f"the columns are: {shown(', '.join(map(str, columns)), 200)}"


def check_names(names: Sequence[str], columns: Sequence[str], name: str) -> None:
    """Raises InputError for a column that is missing or there twice. name: of the file."""
    for column in columns:
        if (count := names.count(column)) != 1:
            what = f"there are {count} columns {column!r}: rename them" if count else no_column(column, names)
            raise InputError(f"{name}: {what}")


def shown(value: object, most: int = 60) -> str:
    """The beginning of the value, at most 60 characters, on one line."""
    text = str(value) if isinstance(value, str) else repr(value)
    return " ".join((text if len(text) <= most else text[: most - 3] + "...").split())


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
