"""Units of words in tables: regions, spans or positions of words in a column, and tables with one word in a row."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from chainrule.cli.inputs import BadRow, Cells, Record, Source
from chainrule.errors import InputError, short
from chainrule.text.align import Span
from chainrule.text.regions import MARK
from chainrule.text.words import WHITESPACE, spans_of, spans_of_texts

_PAIRS = re.compile(r"[\s,;()\[\]]*(\d+)\s*[:,-]\s*(\d+)[\s,;()\[\]]*")
_POSITIONS = re.compile(r"[\s,;\[\]]*(\d+)(?:\s*[-:]\s*(\d+))?[\s,;\[\]]*")


@dataclass(frozen=True, slots=True)
class Sentence(Record):
    """A text with its units. rows: the rows of the user's table that it has, one for each unit; empty: one row for all."""

    spans: tuple[Span, ...] = ()
    rows: tuple[Record, ...] = ()

    @property
    def last(self) -> int:
        """The number of its last row in the input."""
        return self.rows[-1].index if self.rows else self.index


@dataclass
class RegionSource(Source):
    """Texts, one in a row, with the units of each in a column: see `marked`, `spans_in` and `positions_in`."""

    regions: str | None = None  # a column of regions, which is that of the texts if no other is named
    spans: str | None = None
    positions: str | None = None
    sep: str = " "

    def __iter__(self) -> Iterator[Record]:
        column = self.regions or self.spans or self.positions
        cells = None if column is None or column == self.columns.text else Cells(column)
        for record in super().__iter__():
            try:
                yield self._sentence(record, str(record.item) if cells is None else cells.of(record))
            except InputError as error:
                problem = f"{record.where}: column {column!r}: {error.reason}"
                if not self.skip_bad:
                    raise BadRow(problem) from None
                self.skip(problem)

    def _sentence(self, record: Record, cell: str | None) -> Sentence:
        text = str(record.item)
        if cell is None:
            raise InputError("it is empty, so the text has no regions")
        if self.regions is not None:
            if self.regions == self.columns.text:
                text, spans = marked(cell, self.sep)
            else:
                spans = spans_of(text, [part.strip() for part in cell.split(MARK)])
        else:
            spans = spans_in(text, cell) if self.spans is not None else positions_in(text, cell)
        fields = (record.context, record.where, record.index, record.file, record.block, record.number)
        return Sentence(text, *fields, spans=tuple(spans))


def marked(cell: str, sep: str) -> tuple[str, list[Span]]:
    """A text whose regions are marked, "The old|man|the boats.", without its marks, and the regions.

    A mark with white space beside it is only removed; any other stands for `sep`. Raises InputError.
    """
    text, spans = "", []
    for number, part in enumerate(cell.split(MARK)):
        if not part.strip():
            raise InputError(f"region {number} of {short(cell)} is empty")
        if number and not (text[-1:].isspace() or part[:1].isspace()):
            text += sep
        begin = len(text) + len(part) - len(part.lstrip())
        spans.append((begin, begin + len(part.strip())))
        text += part
    return text, spans


def spans_in(text: str, cell: str) -> list[Span]:
    """The spans of a cell such as "0:7 8:11", in characters from 0, each without its end. Raises InputError."""
    pairs = _all(_PAIRS, cell, "spans of characters such as 0:7 8:11")
    return spans_of(text, [(int(begin), int(stop)) for begin, stop in pairs])


def positions_in(text: str, cell: str) -> list[Span]:
    """The words of a cell such as "2" or "2 4-6": words between white space from 0; a range is one unit. Raises InputError."""
    [words] = spans_of_texts([text], WHITESPACE)[0]
    units = []
    for first, last in _all(_POSITIONS, cell, "positions of words such as 2 or 4-6"):
        low, high = int(first), int(last or first)
        if low > high or high >= len(words):
            wrong = f"{low}-{high}" if last else str(low)
            raise InputError(f"the words {wrong} are not in the text, which has the words 0 to {len(words) - 1}")
        units.append((words[low][0], words[high][1]))
    return spans_of(text, units)


def _all(pattern: re.Pattern[str], cell: str, what: str) -> list[tuple[str, str]]:
    found, at = [], 0
    while at < len(cell):
        match = pattern.match(cell, at)
        if match is None:
            raise InputError(f"{short(cell)} has no {what}")
        found.append((match[1], match[2]))
        at = match.end()
    return found


@dataclass
class WordRowsSource(Source):
    """Texts whose words are rows: consecutive rows with the same values in the columns `by` are one text."""

    by: list[str] = field(default_factory=list)
    sep: str = " "

    def __iter__(self) -> Iterator[Record]:
        begin, self.begin = self.begin or 0, None
        cells, seen = [Cells(column) for column in self.by], {}
        group: list[Record] = []
        key: tuple[str, ...] = ()
        for record in super().__iter__():
            own = self._key(record, cells)
            if group and own != key:
                yield from self._sentence(group, begin)
                group = []
            if not group:
                if own in seen:
                    name = ", ".join(f"{column} {short(value)}" for column, value in zip(self.by, own, strict=True))
                    raise BadRow(
                        f"{record.where}: {name} has rows here and from {seen[own]} on, which are not together: sort the "
                        "table, or name more columns with --by"
                    )
                key, seen[own] = own, record.where
            group.append(record)
        if group:
            yield from self._sentence(group, begin)

    def _key(self, record: Record, cells: Iterable[Cells]) -> tuple[str, ...]:
        values = [each.of(record) for each in cells]
        if None in values:
            raise BadRow(f"{record.where} has nothing in the column {self.by[values.index(None)]!r} (--by)")
        return tuple(value or "" for value in values)

    def _sentence(self, group: list[Record], begin: int) -> Iterator[Sentence]:
        if group[-1].index < begin:
            return
        first = group[0]
        if first.index < begin:
            raise InputError(f"--from {begin} is within a text, whose rows are {first.index} to {group[-1].index}")
        other = next((record for record in group if record.context != first.context), None)
        if other is not None:
            raise BadRow(f"{other.where} has another context than {first.where}, but they belong to one text (--by)")
        joined = not first.context or first.context[-1:].isspace()
        text, spans = "" if joined else self.sep, []
        for number, record in enumerate(group):
            word = str(record.item).strip()
            if not word:
                raise BadRow(f"{record.where} has only white space in the column {self.columns.text!r}, which is no word")
            text += self.sep if number else ""
            spans.append((len(text), len(text) + len(word)))
            text += word
        where = first.where if len(group) == 1 else f"{first.where} to {group[-1].where}"
        own = (first.context, where, first.index, first.file, first.block, first.number)
        yield Sentence(text, *own, spans=tuple(spans), rows=tuple(group))

    def count(self) -> None:
        """The number of texts is not known before all rows have been read."""
