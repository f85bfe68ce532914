"""Rows of Parquet and Arrow (Feather) files. Only the needed columns are read, and all data are validated."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from chainrule.errors import ChainruleError, InputError
from chainrule.files.opened import name_of, opened
from chainrule.files.rows import Row, bad_byte, no_column, row_of

if TYPE_CHECKING:
    import pyarrow

_BATCH = 1024  # rows in memory at a time


def parquet_rows(file: str, columns: tuple[str, ...]) -> Iterator[Row]:
    """The rows of a Parquet file. Raises InputError, also if damage is found later in the file."""
    import pyarrow.parquet

    with opened(file) as stream, _damage(file, "Parquet"):
        table = pyarrow.parquet.ParquetFile(_seekable(stream), page_checksum_verification=True)
        _check_names(table.schema_arrow.names, columns, file)
        batches = table.iter_batches(_BATCH, columns=list(dict.fromkeys(columns)), use_threads=False)
        yield from _rows(batches, columns, file)


def arrow_rows(file: str, columns: tuple[str, ...]) -> Iterator[Row]:
    """The rows of a file in Arrow's file format (Feather) or stream format. Raises InputError."""
    import pyarrow.ipc

    with opened(file) as stream, _damage(file, "Arrow"):
        source = _seekable(stream)
        as_file = source.read(6) == b"ARROW1"
        open_ = pyarrow.ipc.open_file if as_file else pyarrow.ipc.open_stream

        def again(**options: Any) -> Any:
            source.seek(0)
            return open_(source, options=pyarrow.ipc.IpcReadOptions(use_threads=False, **options))

        names = again().schema.names
        _check_names(names, columns, file)
        table = again(included_fields=sorted({names.index(column) for column in columns}))
        yield from _rows((table.get_batch(i) for i in range(table.num_record_batches)) if as_file else table, columns, file)


def _seekable(stream: IO[bytes]) -> IO[bytes]:
    return stream if stream.seekable() else io.BytesIO(stream.read())


@contextmanager
def _damage(file: str, kind: str) -> Iterator[None]:
    """Convert any exception of a library on a damaged file to InputError."""
    try:
        yield
    except (ChainruleError, GeneratorExit):
        raise
    except Exception as error:
        message = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise InputError(f"cannot read {name_of(file)}: it is not {kind}, or it is damaged ({message[:200]})") from None


def _check_names(names: list[str], columns: tuple[str, ...], file: str) -> None:
    for column in columns:
        if (count := names.count(column)) != 1:
            what = f"there are {count} columns {column!r}" if count else no_column(column, names)
            raise InputError(f"{name_of(file)}: {what}")


def _rows(batches: Any, columns: tuple[str, ...], file: str) -> Iterator[Row]:
    number = 0
    for batch in batches:
        cells_by_column = [_bytes(batch.column(batch.schema.names.index(column)), column, file) for column in columns]
        for cells in zip(*cells_by_column, strict=True):
            number += 1
            yield _row(f"row {number} of {name_of(file)}", columns, cells)


def _row(where: str, columns: tuple[str, ...], cells: tuple[bytes | None, ...]) -> Row:
    values = []
    for column, cell in zip(columns, cells, strict=True):
        try:
            values.append(None if cell is None else cell.decode())
        except UnicodeDecodeError as error:
            return Row(where, problem=f"{where}: column {column!r} {bad_byte(error.object[error.start], error.start)}")
    return row_of(where, columns, values)


def _bytes(array: pyarrow.Array, column: str, file: str) -> list[bytes | None]:
    """The texts as raw bytes. Raises InputError for other types, and ArrowInvalid for damaged data."""
    import pyarrow

    kind = array.type
    if pyarrow.types.is_null(kind):
        return [None] * len(array)
    if isinstance(array, pyarrow.DictionaryArray):
        array.indices.validate(full=True)
        values = _bytes(array.dictionary, column, file)
        return [None if i is None else _at(values, i) for i in array.indices.to_pylist()]
    if pyarrow.types.is_string(kind):
        raw = array.view(pyarrow.binary())
    elif pyarrow.types.is_large_string(kind):
        raw = array.view(pyarrow.large_binary())
    elif pyarrow.types.is_string_view(kind):
        raw = array.view(pyarrow.binary_view())
    else:
        raise InputError(f"{name_of(file)}: column {column!r} has type {kind}, which is not text")
    raw.validate(full=True)
    return raw.to_pylist()


def _at(values: list[bytes | None], i: int) -> bytes | None:
    if i < 0:
        raise IndexError(f"index {i} of a dictionary")
    return values[i]
