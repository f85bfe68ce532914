"""Texts from arguments, files and standard input, each with the place it came from."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from chainrule.cli.options import exclusive
from chainrule.cli.output import note
from chainrule.errors import InputError
from chainrule.files.opened import STDIN, check_encoding, reading
from chainrule.files.reading import Layout, read_rows
from chainrule.files.rows import Row


@dataclass(frozen=True)
class Columns:
    """Which columns of a table hold the texts, their contexts and their second segments. None: "text", and none of those."""

    text: str | None = None
    context: str | None = None
    pair: str | None = None

    @property
    def given(self) -> dict[str, str | None]:
        """By the names of the options."""
        return {"column": self.text, "context_column": self.context, "pair_column": self.pair}

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name in (self.text or "text", self.context, self.pair) if name is not None)


@dataclass(frozen=True)
class Record:
    """One text to score: a text or a pair, its context, where it stood, and its number among all rows of the input."""

    item: str | tuple[str, str]
    context: str | None
    where: str
    index: int


class BadRow(InputError):
    """A row that cannot be read or scored; --skip-bad leaves it out."""


@dataclass
class Source:
    """Texts given as arguments, else those of files, else those of standard input. Raises InputError for what does not fit."""

    texts: list[str]
    files: list[str] = field(default_factory=list)
    columns: Columns = field(default_factory=Columns)
    layout: Layout = field(default_factory=Layout)
    context: str | None = None
    skip_empty: bool = False
    skip_bad: bool = False
    begin: int | None = None  # the number of the first row
    left_out: int = 0  # rows that were bad …
    first_bad: str = ""  # … and what the first of them was

    def __post_init__(self) -> None:
        if self.context is not None and self.columns.context is not None:
            raise InputError("give --context or --context-column, not both")
        if self.texts:
            self._check_texts()
            return
        if not self.files:
            if sys.stdin is not None and sys.stdin.isatty():
                raise InputError("there is nothing to score: give a text, --file, or pipe texts in")
            self.files = [STDIN]
        self._check_files()

    @property
    def lone(self) -> bool:
        """Whether this is one text that was given by itself."""
        return len(self.texts) == 1

    def __iter__(self) -> Iterator[Record]:
        index = -1
        for index, row in enumerate(self._rows()):
            if index < (self.begin or 0):
                continue
            problem = row.problem or self._empty(row)
            if problem is None:
                continue
            if not problem:
                yield self._record(row, index)
            elif self.skip_bad:
                self.leave_out(problem)
            else:
                raise BadRow(problem)
        if self.begin is not None and index < self.begin:
            raise InputError(f"there is no row {self.begin} to begin from (--from): the input has {index + 1}, counted from 0")

    def leave_out(self, problem: str) -> None:
        """Count a row that is left out because it is bad."""
        self.first_bad = self.first_bad or problem
        self.left_out += 1

    def tell(self) -> None:
        """Say how many rows were left out because they were bad."""
        if self.left_out:
            were = "row was" if self.left_out == 1 else "rows were"
            note(f"chainrule: {self.left_out} {were} left out (--skip-bad); the first: {self.first_bad}")

    def nothing(self, what: str, kind: str = "text") -> InputError:
        """The error of an input that holds nothing of this kind to `what`."""
        if self.left_out:
            return InputError(f"there is nothing to {what}: every row was left out")
        return InputError(f"there is nothing to {what}: the input holds no {kind}")

    def _rows(self) -> Iterator[Row]:
        for number, text in enumerate(self.texts, 1):
            yield Row(f"text {number}", (text,))
        for file in self.files:
            yield from read_rows(file, self.columns.names, self.layout)

    def _empty(self, row: Row) -> str | None:
        """Why the row has no text, "" where it has; None where it is to be left out for that."""
        needed = {"": row.cells[0]} | ({f": column {self.columns.pair!r}": row.cells[-1]} if self.columns.pair else {})
        empty = next((column for column, cell in needed.items() if not cell), None)
        if empty is None:
            return ""
        if self.skip_empty:
            return None
        return f"{row.where}{empty} is empty, so there is no token to score; --skip-empty leaves such rows out"

    def _record(self, row: Row, index: int) -> Record:
        text, context = row.cells[0] or "", self.context
        if self.columns.context is not None:
            context = row.cells[1]
        return Record((text, row.cells[-1] or "") if self.columns.pair else text, context, row.where, index)

    def _check_texts(self) -> None:
        if self.files:
            raise InputError("give texts or --file, not both")
        layout = {"format": self.layout.form, "encoding": self.layout.encoding, "quotes": self.layout.quotes}
        why = "is for --file and standard input, and the texts are given as arguments"
        exclusive(why, **self.columns.given, **layout, from_=self.begin)
        for text in self.texts:
            if os.path.splitext(text)[1] and os.path.isfile(text):
                raise InputError(
                    f"{text} is a file: --file {text} reads it; to score these words themselves, pipe them in on standard input"
                )

    def _check_files(self) -> None:
        if self.files.count(STDIN) > 1:
            raise InputError("--file - is given twice, and standard input can be read once")
        if self.layout.encoding is not None:
            check_encoding(self.layout.encoding)
        for file in self.files:
            if file != STDIN and "\0" not in file:
                with reading(file):
                    os.stat(file)
            self._check_form(file, self.layout.form_of(file))

    def _check_form(self, file: str, form: str) -> None:
        what = "standard input" if file == STDIN else file
        if form == "text":
            tables = "say --format csv, tsv, jsonl, json, parquet or arrow"
            exclusive(f"is for tables, and {what} is read as plain lines: {tables}", **self.columns.given)
        if self.layout.quotes is not None and form not in ("csv", "tsv"):
            raise InputError(f"--quotes is for CSV and TSV, and {what} is read as {form}")
        if self.layout.encoding is not None and form in ("parquet", "arrow"):
            raise InputError(f"--encoding is for text, and {what} is read as {form}, which is UTF-8")


def numbers(given: str, option: str) -> list[int]:
    """Whole numbers with commas between them. Raises InputError."""
    try:
        return [int(each) for each in given.split(",")]
    except ValueError:
        raise InputError(f"{option} takes whole numbers with commas between them, such as 1,2, not {given[:60]!r}") from None


def orders(given: list[str] | None) -> Any:
    """What --order names, as the library takes it: "0,4,2,1,3" is a permutation, several of them are a list."""
    read = [
        tuple(numbers(each, "--order")) if re.fullmatch(r"\s*-?\d+(\s*,\s*-?\d+)*\s*", each) else each for each in given or []
    ]
    return read[0] if len(read) == 1 else read or None
