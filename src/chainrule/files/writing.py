"""Result files: CSV, JSON lines and Parquet, which are written whole, or not at all, or marked incomplete."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chainrule.errors import OutputError
from chainrule.files.opened import same_file
from chainrule.files.row_text import csv_text, json_lines
from chainrule.scratch import ScratchFile

if TYPE_CHECKING:
    import pyarrow

FORMATS = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}


class Target:
    """A path to write to. A new file in the same folder replaces it at the end. A pipe or a device is written directly."""

    def __init__(self, path: str | os.PathLike[str], inputs: Iterable[str] = ()) -> None:
        """inputs: files that must not be overwritten. Raises OutputError."""
        self.path = os.fspath(path)
        if any(same_file(self.path, file) for file in inputs):
            raise OutputError(f"{self.path} is an input file, and would be overwritten: name another file")
        special = os.path.exists(self.path) and not os.path.isfile(self.path) and not os.path.isdir(self.path)
        try:
            self._scratch = None if special else ScratchFile(Path(self.path))
        except OSError as error:
            raise self.failed(error) from error

    @property
    def place(self) -> str:
        """The path to open for writing."""
        return self.path if self._scratch is None else os.fspath(self._scratch.path)

    def write(self, raw: bytes) -> None:
        """Write the whole file and put it at its path. Raises OutputError."""
        try:
            with open(self.place, "wb") as stream:
                stream.write(raw)
            self.commit()
        except OSError as error:
            raise self.failed(error) from error

    def commit(self) -> None:
        """Put the written file, now whole, at its path."""
        if self._scratch is not None:
            self._scratch.commit()

    def keep(self) -> str:
        """Keep the written file in the same folder, marked incomplete, and return its path."""
        if self._scratch is None:
            return self.path
        path = Path(self.path)
        return os.fspath(self._scratch.keep_as(path.with_name(f"{path.stem}.incomplete{path.suffix}")))

    def discard(self) -> None:
        if self._scratch is not None:
            self._scratch.discard()

    def failed(self, error: OSError) -> OutputError:
        """An error of the system as an OutputError."""
        return OutputError(f"cannot write {self.path}: {error.strerror or str(error).splitlines()[0]}")


def write_bytes(path: str | os.PathLike[str], raw: bytes, inputs: Iterable[str] = ()) -> None:
    """Write a file whole or not at all. Raises OutputError."""
    target = Target(path, inputs)
    try:
        target.write(raw)
    finally:
        target.discard()


class Writer:
    """Writes tables of one schema to a file, one after another, whole or not at all: see `Target`."""

    def __init__(self, path: str | os.PathLike[str], kind: str | None = None, inputs: Iterable[str] = ()) -> None:
        self.kind = kind or FORMATS.get(Path(path).suffix.lower(), "")
        if not self.kind:
            raise OutputError(f"cannot infer the format of {os.fspath(path)!r}: use a name ending in .csv, .jsonl or .parquet")
        self._target = Target(path, inputs)
        self._file: _Text | _Parquet | None = None

    def __enter__(self) -> Writer:
        return self

    def write(self, rows: pyarrow.Table) -> None:
        """Append all of these rows, or none of them."""
        try:
            if self._file is None:
                self._file = _OPEN[self.kind](self._target.place, rows.schema)
            self._file.write(rows)
        except OSError as error:
            raise self._target.failed(error) from error
        except NotImplementedError as error:  # a type that Parquet does not have
            raise OutputError(f"cannot write {self._target.path}: {error}; write a .csv or .jsonl file") from error

    def keep(self) -> str:
        """Close the file as it is, marked incomplete, and return its path. Later calls do not change it."""
        try:
            self._close()
            return self._target.keep()
        except OSError as error:
            raise self._target.failed(error) from error

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._close()  # a full disk may be reported only now
                self._target.commit()
            else:
                with suppress(OSError):
                    self._close()
        except OSError as error:
            raise self._target.failed(error) from error
        finally:
            self._target.discard()

    def _close(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            file.close()


class _Text:
    """A file of lines. A table that cannot be written completely is removed again."""

    def __init__(self, path: str, parts: Callable[[pyarrow.Table, bool], Iterator[str]]) -> None:
        self._stream, self._parts, self._first = open(path, "wb", buffering=0), parts, True  # noqa: SIM115 (closed by the writer)
        self.close = self._stream.close

    def write(self, rows: pyarrow.Table) -> None:
        begin = self._stream.tell() if self._stream.seekable() else None
        try:
            for part in self._parts(rows, self._first):
                raw = memoryview(part.encode())
                while raw:
                    raw = raw[self._stream.write(raw) :]
        except BaseException:
            if begin is not None:
                with suppress(OSError):  # a device
                    self._stream.truncate(self._stream.seek(begin))
            raise
        self._first = False


class _Parquet:
    """A Parquet file, one row group for each table."""

    def __init__(self, path: str, schema: pyarrow.Schema) -> None:
        import pyarrow.parquet

        writer = pyarrow.parquet.ParquetWriter(path, schema)
        self.write, self.close = writer.write_table, writer.close


_OPEN: dict[str, Callable[[str, Any], _Text | _Parquet]] = {
    "csv": lambda path, schema: _Text(path, csv_text),
    "jsonl": lambda path, schema: _Text(path, lambda rows, header: json_lines(rows)),
    "parquet": _Parquet,
}
