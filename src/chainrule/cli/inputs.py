"""Texts from arguments, files and standard input, each with its location for error messages."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from chainrule.cli.output import note
from chainrule.cli.parameters import did_you_mean, shortened
from chainrule.cli.reject import reject
from chainrule.errors import InputError
from chainrule.files.found import find
from chainrule.files.opened import STDIN, check_encoding, name_of, reading
from chainrule.files.reading import Layout, read_rows
from chainrule.files.rows import Row, shown

_NAMED_ORDERS = ("left-to-right", "right-to-left", "random")
_COUNTED = 100_000_000  # bytes of files whose rows are counted before scoring


@dataclass(frozen=True)
class Columns:
    """The columns of a table that hold the texts (None: "text"), their contexts and their second segments (None: no column)."""

    text: str | None = None
    context: str | None = None
    pair: str | None = None

    @property
    def options(self) -> dict[str, str | None]:
        """The names of the columns, by command-line option."""
        return {"column": self.text, "context_column": self.context, "second_segment_column": self.pair}

    @property
    def names(self) -> tuple[str, ...]:
        """The columns to read."""
        return tuple(name for name in (self.text or "text", self.context, self.pair) if name is not None)


@dataclass(frozen=True)
class Record:
    """One text to score, or a pair of them: its context, its location, and its row number in the whole input.

    `file` is the file that it is from, if there are several.
    """

    item: str | tuple[str, str]
    context: str | None
    where: str
    index: int
    file: str | None = None

    @property
    def origin(self) -> dict[str, Any]:
        """Its row number and its file, for JSON."""
        return {"index": self.index} | ({} if self.file is None else {"file": self.file})


class BadRow(InputError):
    """A row that cannot be read or scored. --skip-bad skips such rows."""


@dataclass
class Source:
    """Texts from the arguments, else from files, else from standard input. Raises InputError."""

    texts: list[str]
    files: list[str] = field(default_factory=list)
    columns: Columns = field(default_factory=Columns)
    layout: Layout = field(default_factory=Layout)
    context: str | None = None
    skip_empty: bool = False
    skip_bad: bool = False
    begin: int | None = None  # the first row to read, from 0
    skipped: int = 0  # the number of bad rows so far
    first_bad: str = ""  # the error message of the first bad row

    def __post_init__(self) -> None:
        if self.context is not None and self.columns.context is not None:
            raise InputError("give --context or --context-column, not both")
        if self.texts:
            self._check_texts()
            return
        if not self.files:
            if sys.stdin is not None and sys.stdin.isatty():
                raise InputError("there is nothing to score: pass a text or --file, or pipe texts to standard input")
            self.files = [STDIN]
        self._check_files()

    @property
    def single(self) -> bool:
        """Whether the input is one text, given as an argument."""
        return len(self.texts) == 1

    def __iter__(self) -> Iterator[Record]:
        index = -1
        for index, (file, row) in enumerate(self._rows()):
            if index < (self.begin or 0):
                continue
            problem = row.problem or self._problem(row)
            if problem is None:
                continue
            if not problem:
                yield self._record(row, index, file)
            elif self.skip_bad:
                self.skip(problem)
            else:
                raise BadRow(problem)
        if self.begin is not None and index < self.begin:
            raise InputError(f"--from {self.begin} is past the last row: the input has {index + 1} rows, counted from 0")

    def count(self) -> int | None:
        """The number of rows, found by reading them; None for standard input, and for files that are large or damaged."""
        if STDIN in self.files or sum(map(os.path.getsize, self.files)) > _COUNTED:
            return None
        try:
            return sum(1 for _ in self._rows())
        except InputError:
            return None

    def skip(self, problem: str) -> None:
        """Count a bad row that is skipped. problem: its error message."""
        self.first_bad = self.first_bad or problem
        self.skipped += 1

    def report_skipped(self) -> None:
        """Write the number of skipped bad rows to standard error, if there are any."""
        if self.skipped:
            were = "row was" if self.skipped == 1 else "rows were"
            note(f"chainrule: {self.skipped} {were} skipped (--skip-bad); the first: {self.first_bad}")

    def empty_error(self, action: str, kind: str = "text") -> InputError:
        """The error for an input without texts. action: a verb such as "score"; kind: the noun for the texts."""
        if self.skipped:
            return InputError(f"there is nothing to {action}: every row was skipped")
        return InputError(f"there is nothing to {action}: the input has no {kind}")

    def _rows(self) -> Iterator[tuple[str | None, Row]]:
        """Every row, with its file if there are several."""
        for number, text in enumerate(self.texts, 1):
            yield None, Row(f"text {number}", (text,))
        for file in self.files:
            origin = name_of(file) if len(self.files) > 1 else None
            for row in read_rows(file, self.columns.names, self.layout):
                yield origin, row

    def _problem(self, row: Row) -> str | None:
        """The error message for a row with an empty cell; "" for a good row; None for an empty one that --skip-empty skips."""
        required = {"": row.cells[0]} | ({f": column {self.columns.pair!r}": row.cells[-1]} if self.columns.pair else {})
        empty = next((column for column, cell in required.items() if not cell), None)
        if empty is None:
            return ""
        if self.skip_empty:
            return None
        return f"{row.where}{empty} is empty, so there is no token to score; --skip-empty skips such rows"

    def _record(self, row: Row, index: int, file: str | None) -> Record:
        text, context = row.cells[0] or "", self.context
        if self.columns.context is not None:
            context = row.cells[1]
        return Record((text, row.cells[-1] or "") if self.columns.pair else text, context, row.where, index, file)

    def _check_texts(self) -> None:
        if self.files:
            raise InputError(f"give texts or --file, not both: {shown(self.texts[0])} is read as a text")
        layout = {"format": self.layout.form, "encoding": self.layout.encoding, "quotes": self.layout.quotes}
        reason = "is for --file and standard input, but the texts are given as arguments"
        reject(reason, **self.columns.options, **layout, from_=self.begin)
        for text in self.texts:
            if os.path.splitext(text)[1] and os.path.isfile(text):
                raise InputError(
                    f"{text} is a file: --file {text} reads it; to score its name as a text, give it on standard input"
                )

    def _check_files(self) -> None:
        if self.files.count(STDIN) > 1:
            raise InputError("--file - is given twice, but standard input can be read only once")
        if self.layout.encoding is not None:
            check_encoding(self.layout.encoding)
        found = [find(file, self.layout) for file in self.files]
        self.files = [file for each in found for file in each.files]
        for file in self.files:
            if file != STDIN and "\0" not in file:
                with reading(file):
                    os.stat(file)
            self._check_form(file, self.layout.form_of(file))
        for each in found:
            if each.note:
                note(f"chainrule: {each.note}")

    def _check_form(self, file: str, form: str) -> None:
        name = "standard input" if file == STDIN else file
        if form == "text":
            formats = "give --format csv, tsv, jsonl, json, parquet or arrow"
            reject(f"is for tables, but {name} is read as plain lines: {formats}", **self.columns.options)
        if self.layout.quotes is not None and form not in ("csv", "tsv"):
            raise InputError(f"--quotes is for CSV and TSV, but {name} is read as {form}")
        if self.layout.encoding is not None and form in ("parquet", "arrow"):
            raise InputError(f"--encoding is for text, but {name} is read as {form}, which is UTF-8")


def parse_numbers(value: str, option: str) -> list[int]:
    """Whole numbers separated by commas. option: the name of the option, for the error. Raises InputError."""
    try:
        return [int(number) for number in value.split(",")]
    except ValueError:
        raise InputError(f"{option} takes whole numbers separated by commas, such as 1,2, not {value[:60]!r}") from None


def parse_orders(values: list[str] | None) -> Any:
    """The values of --order as the library takes them: "0,4,2,1,3" as a tuple, several values as a list. Raises InputError."""
    orders = [_parse_order(value) for value in values or []]
    return orders[0] if len(orders) == 1 else orders or None


def _parse_order(value: str) -> str | tuple[int, ...]:
    if value in _NAMED_ORDERS or re.fullmatch("random:0*[1-9][0-9]{0,17}", value):
        return value
    if re.fullmatch(r"\s*\d{1,18}(\s*,\s*\d{1,18})*\s*", value):
        positions = tuple(map(int, value.split(",")))
        if sorted(positions) == list(range(len(positions))):
            return positions
        raise InputError(
            f"--order {value[:60]} is no order of {len(positions)} tokens: it must have each position from 0 to "
            f"{len(positions) - 1} once"
        )
    near = did_you_mean(value, _NAMED_ORDERS)
    raise InputError(f"--order takes {', '.join(_NAMED_ORDERS)}, or positions such as 0,4,2,1,3, not {shortened(value)}{near}")
