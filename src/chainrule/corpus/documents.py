"""The documents of a corpus in input order, in windows of consecutive rows, whose beginnings are shared."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from chainrule.corpus.kept import Kept
from chainrule.corpus.table import spread
from chainrule.corpus.work import Part
from chainrule.errors import InputError
from chainrule.files.columns import Columns
from chainrule.files.json_rows import JsonBlock
from chainrule.files.opened import name_of
from chainrule.files.reading import Layout, read_blocks
from chainrule.files.rows import UTF8, Block, Row, no_column, shown
from chainrule.results.units import count

if TYPE_CHECKING:
    import pyarrow

WINDOW = 1 << 17  # documents
BYTES = 1 << 28  # of their texts and columns, about


@dataclass
class Window:
    """Consecutive documents. An error says why a document has no text that could be scored."""

    number: int
    texts: list[str | None] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)  # in their files, from 0
    tables: list[pyarrow.Table] = field(default_factory=list)  # the user's columns
    bytes: int = 0  # about, in memory

    def __len__(self) -> int:
        return len(self.texts)

    def part(self, name: str, chosen: Sequence[int]) -> Part:
        """Some of the documents, as a part of this name."""
        return Part(
            name,
            tuple(self.texts[i] for i in chosen),
            tuple(self.errors[i] for i in chosen),
            tuple(self.files[i] for i in chosen),
            tuple(self.rows[i] for i in chosen),
            None if self._kept is None else self._kept.take(list(chosen)),
        )

    @cached_property
    def _kept(self) -> pyarrow.Table | None:
        """The user's columns of all documents."""
        import pyarrow

        return pyarrow.concat_tables(self.tables).combine_chunks() if self.tables else None


@dataclass
class Documents:
    """The documents of the files. Every row is one, also a row that cannot be read."""

    files: Sequence[str]
    layout: Layout
    columns: Columns
    keep: Sequence[str] | None = ()  # columns that come back; None: all
    limit: int | None = None  # the most documents
    strict: bool = False  # whether an id that is missing or used twice is an error
    say: Callable[[str], None] = print  # for notes on how the files are read

    def __post_init__(self) -> None:
        """Check the columns of all files. Raises InputError."""
        forms = [self.layout.form_of(file) for file in self.files]
        mixed = len(set(forms)) > 1
        self._line_column = (self.columns.text or "text") if mixed or self.columns.text is not None else None
        self._of_file = {}
        for file in self.files:
            first = next(self.blocks(file))
            self._of_file[file], guess = self.columns.found(first, name_of(file))
            _check_text(first, self._of_file[file].names[0], file)
            for note in filter(None, (first.note, guess)):
                self.say(note)
        self.kept = Kept.of(self.files, self.blocks, self.keep, self.columns.id)
        self.ids = Ids(self.columns.id)

    def blocks(self, file: str, columns: Sequence[str] | None = None) -> Iterator[Block]:
        """The rows of a file. columns: those that are read, where others need not be; None: all."""
        return read_blocks(file, self.layout, columns, self._line_column)

    def _needed(self, file: str) -> list[str] | None:
        """The columns of a file that are used; None: all."""
        id = [] if self.columns.id is None else [self.columns.id]
        return None if self.keep is None else [*self._of_file[file].names, *id, *self.keep]

    def windows(self, size: int = WINDOW) -> Iterator[Window]:
        """All documents, about `size` in a window. An error of reading is raised after the documents before it."""
        window, left, error = Window(0), self.limit, None
        try:
            for file in self.files:
                begin = 0
                for block in self.blocks(file, self._needed(file)):
                    count = len(block) if left is None else min(len(block), left)
                    self._add(window, file, block, begin, count)
                    begin, left = begin + count, None if left is None else left - count
                    if len(window) >= size or window.bytes >= BYTES:
                        yield window
                        window = Window(window.number + 1)
                    if left == 0:
                        break
                if left == 0:
                    break
        except InputError as raised:
            error = raised
        if len(window):
            yield window
        if error is not None:
            raise error

    def _add(self, window: Window, file: str, block: Block, begin: int, count: int) -> None:
        """Add the first rows of a block. begin: the number of the first one in its file."""
        rows = list(islice(block.rows(self._of_file[file].names, whole=bool(self.kept)), count))
        texts = [None if row.problem else row.cells[0] or None for row in rows]
        window.texts += texts
        window.errors += map(_error, rows)
        window.files += [file] * count
        window.rows += range(begin, begin + count)
        window.bytes += sum(len(text) for text in texts if text is not None) + 200 * count
        if self.kept:
            good = [not row.problem for row in rows]
            table = spread(self.kept.table(block, [number for number in range(count) if good[number]]), good)
            window.tables.append(table)
            window.bytes += table.nbytes
        if self.columns.id is not None:
            self.ids.add(block.keys(self.columns.id)[:count], rows, self.strict)


class Ids:
    """The values of the column of ids: which rows have none, and which have that of an earlier row.

    A value is known by 64 bits of its digest, 8 bytes of memory for each document. Two of 10⁸ different values have the same
    ones with probability 0.0003.
    """

    def __init__(self, column: str | None) -> None:
        self._column = column
        self._seen: list[np.ndarray] = []  # sorted; each is longer than the next
        self.missing = self.repeated = 0
        self.first_missing = self.first_repeated = ""

    def add(self, ids: Sequence[str | None], rows: Sequence[Row], strict: bool) -> None:
        """Add consecutive rows. Raises InputError for a missing or repeated one if `strict`."""
        number_of: dict[int, int] = {}
        for number, (id, row) in enumerate(zip(ids, rows, strict=True)):
            if id is None:
                self.missing += 1
                self.first_missing = self.first_missing or row.where
            elif number_of.setdefault(_digest(id), number) != number:
                self._repeat(row, id)
        new = np.array(list(number_of), np.uint64)
        known = np.zeros(len(new), bool)
        for seen in self._seen:
            known |= seen[np.minimum(np.searchsorted(seen, new), len(seen) - 1)] == new
        for number in np.array(list(number_of.values()), np.int64)[known].tolist():
            self._repeat(rows[number], str(ids[number]))
        if not known.all():
            self._seen.append(np.sort(new[~known]))
        while len(self._seen) > 1 and len(self._seen[-2]) <= 2 * len(self._seen[-1]):
            self._seen[-2:] = [np.sort(np.concatenate(self._seen[-2:]), kind="stable")]
        if strict and self.notes():
            raise InputError(self.notes()[0])

    def notes(self) -> list[str]:
        """A sentence about missing ids and one about repeated ones; none if there are none."""
        column, notes = f"the column {self._column!r} (--id)", []
        if self.missing:
            notes.append(f"{count(self.missing, 'row')} without a value in {column}, first {self.first_missing}")
        if self.repeated:
            notes.append(
                f"{count(self.repeated, 'row')} with a value in {column} that an earlier row has, first {self.first_repeated}"
            )
        return notes

    def _repeat(self, row: Row, id: str) -> None:
        self.repeated += 1
        self.first_repeated = self.first_repeated or f"{row.where}: {shown(id)}"


def _check_text(block: Block, column: str, file: str) -> None:
    """Raises InputError if no row of the first block has the column of the texts. A single row may lack it in JSON."""
    next(iter(block.rows([column])), None)  # other formats have the same columns in all rows
    if isinstance(block, JsonBlock) and block.names and not {column, column.split(".")[0]} & set(block.names):
        raise InputError(f"{name_of(file)}: {no_column(column, block.names)}")


def _digest(id: str) -> int:
    return int.from_bytes(blake2b(id.encode(UTF8, "surrogatepass"), digest_size=8).digest(), "big")


def _error(row: Row) -> str:
    """Why a row has no text to score; "" if it has one."""
    if row.problem:
        return row.problem
    return "" if row.cells[0] else f"{row.where} is empty, so there is no token to score"
