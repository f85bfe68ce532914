"""The files of a corpus: found, and hashed, so that a later run knows whether one has changed."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from chainrule.errors import InputError
from chainrule.files.found import find
from chainrule.files.opened import STDIN, decompressed, is_stream, opened
from chainrule.files.reading import Layout
from chainrule.files.remote import is_remote

_PIECE = 1 << 20  # bytes
_BY_LINES = ("text", "csv", "tsv", "jsonl")


@dataclass(frozen=True)
class SourceFile:
    """A file in the state in which a run reads it."""

    name: str
    size: int  # bytes
    blake2: str  # BLAKE2b of its bytes, 256 bits
    rows: int | None = None  # about how many rows it has; None: unknown
    state: tuple[int, int] | None = None  # its size and time of modification; None for a file of another file system

    def to_dict(self) -> dict[str, Any]:
        """What the manifest records."""
        return {"file": self.name, "size": self.size, "blake2": self.blake2}


def find_files(inputs: Iterable[str], layout: Layout) -> tuple[list[str], list[str]]:
    """The files of all inputs, and notes on how folders and patterns were read. Raises InputError."""
    found = [find(name, layout) for name in inputs]
    files = [file for each in found for file in each.files]
    if not files:
        raise InputError("there is nothing to score: name files, folders or patterns")
    twice = [file for file, times in Counter(files).items() if times > 1]
    if twice:
        raise InputError(f"{twice[0]} is given twice, but each document is scored once")
    for file in files:
        if file == STDIN or is_stream(file):
            with opened(file):  # a file that does not exist has an error of its own
                pass
            raise InputError(f"{file} can be read only once, so that a run could not be continued: name a file")
        layout.form_of(file)
    return files, [each.note for each in found if each.note]


def survey(files: Iterable[str], layout: Layout, seen: Callable[[int], None] = lambda size: None) -> list[SourceFile]:
    """Hash the files, and count their rows where that is cheap. seen: called with the bytes read. Raises InputError."""
    return [_surveyed(file, layout.form_of(file), seen) for file in files]


def _surveyed(file: str, form: str, seen: Callable[[int], None]) -> SourceFile:
    whole, size, lines, state = blake2b(digest_size=32), 0, 0, _state(file)
    with opened(file) as stream:
        while piece := stream.read(_PIECE):
            whole.update(piece)
            size, lines = size + len(piece), lines + piece.count(b"\n")
            seen(len(piece))
    return SourceFile(file, size, whole.hexdigest(), _rows(file, form, lines), state)


def refuse_changed(files: Iterable[SourceFile]) -> None:
    """Raises InputError if a file was changed after it was hashed."""
    for file in files:
        if _state(file.name) != file.state:
            raise InputError(f"{file.name} was changed while it was read, so rows of both states may be there: use --fresh")


def _state(file: str) -> tuple[int, int] | None:
    if is_remote(file):
        return None
    try:
        info = os.stat(file)
    except OSError:  # it was removed
        return 0, 0
    return info.st_size, info.st_mtime_ns


def _rows(file: str, form: str, lines: int) -> int | None:
    """About how many rows a file has. lines: of its bytes."""
    if form == "parquet":
        import pyarrow.parquet

        try:
            with opened(file) as stream:
                return pyarrow.parquet.ParquetFile(stream).metadata.num_rows
        except Exception:  # its damage is reported when its rows are read
            return None
    if form not in _BY_LINES:
        return None
    with opened(file) as stream:
        plain = decompressed(stream, file)
        if plain is not stream:
            lines = sum(piece.count(b"\n") for piece in iter(lambda: plain.read(_PIECE), b""))
    return max(0, lines - (form in ("csv", "tsv")))
