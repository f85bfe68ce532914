"""Rows of Parquet and Arrow (Feather) files, with columns of unchanged types. All texts that are scored are validated."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from chainrule.errors import ChainruleError, InputError
from chainrule.files.opened import name_of, opened
from chainrule.files.rows import BLOCK, Row, bad_byte, check_names, no_column, row_of

if TYPE_CHECKING:
    import pyarrow

    Columns = Sequence[str] | None  # the columns that are read; None: all


class ArrowBlock:
    """Rows of a Parquet or Arrow file."""

    note = ""

    def __init__(self, file: str, kind: str, batch: pyarrow.RecordBatch, first: int) -> None:
        self.names, self._batch, self._file, self._kind, self._first = batch.schema.names, batch, file, kind, first

    def __len__(self) -> int:
        return self._batch.num_rows

    @property
    def size(self) -> int:
        return self._batch.get_total_buffer_size()

    def rows(self, columns: Sequence[str], whole: bool = False) -> Iterator[Row]:
        with _damage(self._file, self._kind):
            check_names(self.names, self.names if whole else [], name_of(self._file))
            cells_by_column = [self._texts(column) for column in columns]
            for name in set(self.names) - set(columns) if whole else ():
                self._batch.column(name).validate(full=True)
            cells_by_row = zip(*cells_by_column, strict=True) if columns else ((),) * len(self)
            for number, cells in enumerate(cells_by_row, self._first):
                yield _row(f"row {number} of {name_of(self._file)}", columns, cells)

    def table(self, numbers: Sequence[int]) -> pyarrow.Table:
        import pyarrow

        with _damage(self._file, self._kind):
            table = pyarrow.Table.from_batches([self._batch])
            if list(numbers) == list(range(len(self))):
                return table
            return table.take(pyarrow.array(numbers, pyarrow.int64()))

    def keys(self, column: str) -> list[str | None]:
        check_names(self.names, [column], name_of(self._file))
        with _damage(self._file, self._kind):
            values = self._batch.column(self.names.index(column)).to_pylist()
        return [None if value is None or value != value else str(value) or None for value in values]

    def _texts(self, column: str) -> list[bytes | None]:
        return _bytes(_found(self._batch, column, name_of(self._file)), column, self._file)


def parquet_blocks(file: str, columns: Columns = None) -> Iterator[ArrowBlock]:
    """The rows of a Parquet file; one block at least. Raises InputError, also if damage is found later in the file."""
    import pyarrow.parquet

    with opened(file) as stream, _damage(file, "Parquet"):
        table = pyarrow.parquet.ParquetFile(_seekable(stream), page_checksum_verification=True)
        names = _read(table.schema_arrow, columns, file)
        batches = table.iter_batches(BLOCK, columns=names, use_threads=False)
        yield from _blocks(batches, table.schema_arrow, names, file, "Parquet")


def arrow_blocks(file: str, columns: Columns = None) -> Iterator[ArrowBlock]:
    """The rows of a file in Arrow's file format (Feather) or stream format; one block at least. Raises InputError."""
    import pyarrow.ipc

    with opened(file) as stream, _damage(file, "Arrow"):
        source = _seekable(stream)
        as_file = source.read(6) == b"ARROW1"
        open_ = pyarrow.ipc.open_file if as_file else pyarrow.ipc.open_stream

        def again(**options: Any) -> Any:
            source.seek(0)
            return open_(source, options=pyarrow.ipc.IpcReadOptions(use_threads=False, **options))

        schema = again().schema
        names = _read(schema, columns, file)
        fields = None if names is None else sorted({schema.names.index(name) for name in names})
        table = again(included_fields=fields)
        batches = (table.get_batch(i) for i in range(table.num_record_batches)) if as_file else table
        yield from _blocks(batches, schema, names, file, "Arrow")


def _blocks(batches: Any, schema: pyarrow.Schema, names: Columns, file: str, kind: str) -> Iterator[ArrowBlock]:
    import pyarrow

    first = 1
    for batch in batches:
        for begin in range(0, batch.num_rows, BLOCK):
            yield ArrowBlock(file, kind, batch.slice(begin, BLOCK), first)
            first += min(BLOCK, batch.num_rows - begin)
    if first == 1:
        fields = [field for field in schema if names is None or field.name in names]
        yield ArrowBlock(file, kind, pyarrow.RecordBatch.from_pylist([], schema=pyarrow.schema(fields)), first)


def _read(schema: pyarrow.Schema, columns: Columns, file: str) -> list[str] | None:
    """The columns to read: a nested field is read with its whole column. Raises InputError for a column that is missing."""
    if columns is None:
        return None
    empty = schema.empty_table()
    for column in columns:
        _found(empty, column, name_of(file))
    return list(dict.fromkeys(column if column in schema.names else column.split(".")[0] for column in columns))


def _found(batch: Any, column: str, name: str) -> Any:
    """A column, or a nested field such as a.b if no column has this name. Raises InputError."""
    import pyarrow

    names = batch.schema.names
    parts = [column] if column in names else column.split(".")
    check_names(names, parts[:1] if parts[0] in names else [column], name)
    found = batch.column(names.index(parts[0]))
    for number, part in enumerate(parts[1:], 1):
        before = ".".join(parts[:number])
        if not pyarrow.types.is_struct(found.type):
            raise InputError(f"{name}: there is no column {column!r}: {before!r} has type {found.type}, which has no fields")
        fields = [found.type.field(i).name for i in range(found.type.num_fields)]
        if part not in fields:
            raise InputError(f"{name}: {no_column(column, fields)} (of {before!r})")
        found = found.flatten()[fields.index(part)]
    return found


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


def _row(where: str, columns: Sequence[str], cells: tuple[bytes | None, ...]) -> Row:
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
