"""Texts from arguments, files and standard input, each with its location for error messages."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from chainrule.cli.output import note
from chainrule.cli.reject import reject
from chainrule.errors import InputError
from chainrule.files.columns import Agreement, Columns
from chainrule.files.found import find
from chainrule.files.opened import STDIN, check_encoding, is_stream, name_of, reading
from chainrule.files.reading import Layout, read_blocks
from chainrule.files.remote import is_remote
from chainrule.files.rows import Block, Row, shown

_KEYS = 1_000_000  # rows whose keys are compared
_COUNTED = 100_000_000  # bytes of files whose rows are counted before scoring


@dataclass(frozen=True, slots=True)
class Record:
    """One text to score, or a pair of them: its context, its location, and its row number in the whole input.

    `file` is the file that it is from, if there are several. `block` and `number` are its row with all columns.
    """

    item: str | tuple[str, str]
    context: str | None
    where: str
    index: int
    file: str | None = None
    block: Block | None = None  # None: the text is an argument
    number: int = 0

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
    _line_column: str | None = None
    _noted: set[str] = field(default_factory=set)
    _agreement: Agreement = field(default_factory=Agreement)

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
        index, keys = -1, _Keys(self.columns.id)
        for file, block, rows in self._rows():
            key_of = keys.of(block)
            for number, row in enumerate(rows):
                index += 1
                if index < (self.begin or 0):
                    continue
                problem = row.problem or self._problem(row)
                if problem is None:
                    continue
                problem = problem or keys.problem(row, key_of, number)
                if not problem:
                    yield self._record(row, index, file, block, number)
                elif self.skip_bad:
                    self.skip(problem)
                else:
                    raise BadRow(problem)
        if self.begin is not None and index < self.begin:
            raise InputError(f"--from {self.begin} is past the last row: the input has {index + 1} rows, counted from 0")

    def count(self) -> int | None:
        """The number of rows, found by reading them; None for standard input, and for files that are large or damaged."""
        unknown = any(is_stream(file) or is_remote(file) for file in self.files)
        if unknown or sum(map(os.path.getsize, self.files)) > _COUNTED:
            return None
        try:
            return sum(len(block) for file in self.files for block in read_blocks(file, self.layout, self.columns.names))
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

    def blocks(self, file: str) -> Iterator[Block]:
        """The rows of one of the files, with all of their columns."""
        return read_blocks(file, self.layout, line_column=self._line_column)

    def values(self, records: list[Record], column: str | None) -> list[str | None] | None:
        """The cells of a column in the rows of the records; None without a column. Raises InputError."""
        if column is None:
            return None
        cells = Cells(column)
        return [cells.of(record) for record in records]

    def _rows(self) -> Iterator[tuple[str | None, Block | None, Iterator[Row]]]:
        """Every row, with its block, and with its file if there are several."""
        if self.texts:
            yield None, None, (Row(f"text {number}", (text,)) for number, text in enumerate(self.texts, 1))
            return
        self._check_tables()
        for file in self.files:
            origin = name_of(file) if len(self.files) > 1 else None
            for number, block in enumerate(self.blocks(file)):
                if not number:
                    self._check_table(file, block)
                yield origin, block, block.rows(self.columns.names, whole=True)

    def _check_tables(self) -> None:
        """Find the column of texts, and check that all files have the same columns; pipes, when they are read."""
        forms = [self.layout.form_of(file) for file in self.files]
        for file, form in zip(self.files, forms, strict=True):
            if form != "text" and not is_stream(file):
                self._check_table(file, next(self.blocks(file)))
        if len(set(forms)) > 1 and "text" in forms:
            self._line_column = self.columns.text or "text"  # lines are a table too, if they are read with tables
        for file, form in zip(self.files, forms, strict=True):
            if form == "text" and len(forms) > 1 and not is_stream(file):
                self._check_table(file, next(self.blocks(file)))

    def _check_table(self, file: str, block: Block) -> None:
        if block.note and file not in self._noted:
            note(f"chainrule: {block.note}")
        self._noted.add(file)
        if block.names:
            columns, guess = self.columns.found(block, name_of(file))
            if guess:
                note(f"chainrule: {guess}")
            self.columns = columns
        if len(self.files) > 1:
            self._agreement.check(file, block)

    def _problem(self, row: Row) -> str | None:
        """The error message for a row with an empty cell; "" for a good row; None for an empty one that --skip-empty skips."""
        required = {"": row.cells[0]} | ({f": column {self.columns.pair!r}": row.cells[-1]} if self.columns.pair else {})
        empty = next((column for column, cell in required.items() if not cell), None)
        if empty is None:
            return ""
        if self.skip_empty:
            return None
        return f"{row.where}{empty} is empty, so there is no token to score; --skip-empty skips such rows"

    def _record(self, row: Row, index: int, file: str | None, block: Block | None, number: int) -> Record:
        text, context = row.cells[0] or "", self.context
        if self.columns.context is not None:
            context = row.cells[1]
        item = (text, row.cells[-1] or "") if self.columns.pair else text
        return Record(item, context, row.where, index, file, block, number)

    def _check_texts(self) -> None:
        if self.files:
            raise InputError(f"give texts or --file, not both: {shown(self.texts[0])} is read as a text")
        layout = {"format": self.layout.form, "encoding": self.layout.encoding, "quotes": self.layout.quotes}
        layout["separator"] = self.layout.separator
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
            if file != STDIN and "\0" not in file and not is_remote(file):
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
        if form not in ("csv", "tsv"):
            reason = f"is for CSV and TSV, but {name} is read as {form}"
            reject(reason, quotes=self.layout.quotes, separator=self.layout.separator)
        if self.layout.encoding is not None and form in ("parquet", "arrow"):
            raise InputError(f"--encoding is for text, but {name} is read as {form}, which is UTF-8")


class Cells:
    """The cells of one column as texts; those of each block are read once."""

    def __init__(self, column: str) -> None:
        self._column = column
        self._blocks: dict[int, tuple[Block, list[str | None]]] = {}

    def of(self, record: Record) -> str | None:
        """The cell in the row of a record; None for a missing or empty one. Raises InputError if there is no such column."""
        if record.block is None or not record.block.names:
            raise InputError(f"{record.where}: plain lines have no column {self._column!r}: give a table")
        known = self._blocks.get(id(record.block))
        if known is None:
            self._blocks.clear()  # rows come block by block
            known = self._blocks[id(record.block)] = record.block, record.block.keys(self._column)
        return known[1][record.number]


class _Keys:
    """The values of the column that --id names. Each row must have one; the first that two rows share is told."""

    def __init__(self, column: str | None) -> None:
        self._column = column
        self._seen: dict[str, str] | None = {}  # the location of each key; None: no longer compared

    def of(self, block: Block | None) -> list[str | None]:
        """The keys of all rows. Raises InputError if there is no such column."""
        return [] if self._column is None or block is None else block.keys(self._column)

    def problem(self, row: Row, keys: list[str | None], number: int) -> str:
        """The error message for a row without a key; "" if it has one."""
        if not keys:
            return ""
        key = keys[number]
        if key is None:
            return f"{row.where} has nothing in the column {self._column!r} (--id), so the row has no key"
        if self._seen is not None:
            before = self._seen.setdefault(key, row.where)
            if before is not row.where:
                note(f"chainrule: note: {row.where} has the same {self._column!r} (--id) as {before}: {shown(key)}")
            if before is not row.where or len(self._seen) > _KEYS:
                self._seen = None
        return ""
