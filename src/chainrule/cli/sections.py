"""Sections of the input: records that are read at once, and scored at once if their texts share beginnings far apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from chainrule.cli.inputs import Record
from chainrule.errors import InputError
from chainrule.text import beginnings

SHARD = 1000  # texts scored at a time if nothing is gained by more, and rows written at a time
ROWS = 32_768  # texts of a section
CHARACTERS = 2**20  # … and their characters, contexts included
BYTES = 2**26  # … and their rows with all columns, about
GAIN = 0.05  # the share of characters that must be saved for a section to be scored at once


def sections(records: Iterator[Record], characters: int) -> Iterator[tuple[list[Record], InputError | None, bool]]:
    """Sections of about this many characters, and whether each is the last, which has the error that ended reading, if any."""
    while True:
        section: list[Record] = []
        letters, size, block, share, error = 0, 0.0, None, 0.0, None
        try:
            for record in records:
                section.append(record)
                if record.block is not block:
                    block = record.block
                    share = 0.0 if block is None else block.size / max(1, len(block))
                letters, size = letters + len(text_of(record)), size + share
                full = len(section) >= SHARD and (letters >= characters or size >= BYTES)
                if full or len(section) >= ROWS:
                    yield section, None, False
                    break
            else:
                yield section, None, True
                return
        except InputError as raised:
            error = raised
        if error is not None:
            yield section, error, True
            return


def shards(section: list[Record]) -> list[list[Record]]:
    """The records to score together: all, if that computes fewer tokens than shards of `SHARD` records do, else those."""
    parts = cut(section)
    if len(parts) <= 1 or GAIN * distinct(parts) > distinct(parts) - distinct([section]):
        return parts
    return [section]


def cut(section: list[Record]) -> list[list[Record]]:
    """The records, `SHARD` at a time."""
    return [section[first : first + SHARD] for first in range(0, len(section), SHARD)]


def distinct(parts: Sequence[Sequence[Record]]) -> int:
    """Characters of contexts and texts, those of a beginning that several records of a part share counted once."""
    return sum(beginnings.distinct(map(text_of, part)) for part in parts)


def text_of(record: Record) -> str:
    """The context and the text."""
    text = record.item if isinstance(record.item, str) else "\0".join(record.item)
    return text if record.context is None else f"{record.context}\0{text}"
