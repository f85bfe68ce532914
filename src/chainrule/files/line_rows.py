"""Rows of plain text: each line is one text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from chainrule.errors import InputError
from chainrule.files.opened import lines_of, name_of
from chainrule.files.rows import BLOCK, Row, problem_of

if TYPE_CHECKING:
    import pyarrow


class LineBlock:
    """Lines. They have no column of their own, or one, if they are read together with tables."""

    note = ""

    def __init__(self, file: str, first: int, encoding: str | None, column: str | None) -> None:
        self.names = [] if column is None else [column]
        self.lines: list[str] = []
        self._name, self._first, self._encoding = name_of(file), first, encoding

    def __len__(self) -> int:
        return len(self.lines)

    @property
    def size(self) -> int:
        return sum(map(len, self.lines)) + 50 * len(self)

    def rows(self, columns: Sequence[str], whole: bool = False) -> Iterator[Row]:
        for number, text in enumerate(self.lines, self._first):
            where, problem = f"line {number} of {self._name}", problem_of(text, self._encoding)
            yield Row(where, (text,), problem and f"{where} {problem}")

    def table(self, numbers: Sequence[int]) -> pyarrow.Table:
        import pyarrow

        lines = pyarrow.array([self.lines[number] for number in numbers], pyarrow.string())
        return pyarrow.table(dict.fromkeys(self.names, lines))

    def keys(self, column: str) -> list[str | None]:
        raise InputError(f"{self._name} has plain lines, and no column {column!r}")


def line_blocks(file: str, encoding: str | None, column: str | None) -> Iterator[LineBlock]:
    """The lines of a file. column: the name of their column; None: they have none."""
    block = LineBlock(file, 1, encoding, column)
    with lines_of(file, encoding, newline="\n") as lines:
        try:
            for number, line in enumerate(lines, 1):
                if len(block) == BLOCK:
                    yield block
                    block = LineBlock(file, number, encoding, column)
                block.lines.append(line.removesuffix("\n").removesuffix("\r"))
        except InputError:
            yield block  # rows before an error are kept
            raise
    yield block
