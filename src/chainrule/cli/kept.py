"""The user's columns of the rows that are scored, beside our columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import groupby
from typing import TYPE_CHECKING, Any

from chainrule.cli.inputs import Record, Source
from chainrule.cli.output import note
from chainrule.errors import InputError
from chainrule.files.json_cells import MARK, Kinds
from chainrule.files.json_rows import JsonBlock
from chainrule.files.opened import is_stream
from chainrule.files.row_text import json_members, json_text
from chainrule.files.rows import Block
from chainrule.results.beside import beside, renamed, told

if TYPE_CHECKING:
    import pyarrow


class Kept:
    """All columns of the user's tables, in the form that an output needs. form: "csv", "jsonl" or "parquet".

    Columns of CSV are strings, and those of Parquet and Arrow files have their types. The values of a JSON file are JSON texts
    in columns that `is_marked` knows, and have types for Parquet. The columns and types of JSON files are those of all rows,
    which are read before the first output; of standard input, those of the first rows, and other rows are an error.
    """

    def __init__(self, source: Source, form: str) -> None:
        self._source, self._form = source, form
        self._kinds: Kinds | None = None
        self._names: list[str] = []
        self._told: set[str] = set()

    def table(self, ours: pyarrow.Table, records: Sequence[Record], by_key: bool = False) -> pyarrow.Table:
        """The user's columns, then ours, with `index` counting the rows of the whole input, and `file` if there are several.

        ours: its `index` has the number of the record of each row. by_key: keep only the column of --id, if it is given.
        Our `text`, `candidate` and `context_text` are left out where the user's own columns have them.
        """
        rows = ours["index"].combine_chunks()
        theirs = self.kept(records, rows, by_key)
        ours = ours.drop_columns([name for name in self._repeats(theirs.column_names) if name in ours.column_names])
        both, names = beside(theirs, _numbered(ours, records, rows))
        self._tell(names)
        return both

    def lines(self, ours: Iterable[dict[str, Any]], records: Sequence[Record], by_key: bool = False) -> Iterator[str]:
        """JSON objects as texts: the user's columns, then ours. ours: an object for each record. by_key: as in `table`."""
        theirs = self.kept(records, by_key=by_key)
        repeats = self._repeats(theirs.column_names)
        members = (each for part in json_members(theirs) for each in part)
        for record, result in zip(records, ours, strict=True):
            result = record.origin | {n: value for n, value in result.items() if n not in repeats and n not in record.origin}
            if not theirs.num_columns:
                yield json_text(result)
                continue
            names = renamed(theirs.column_names, result)
            self._tell(names)
            own, rest = next(members), json_text({names.get(name, name): value for name, value in result.items()})
            yield f"{{{own}, {rest[1:]}" if own else rest

    def kept(self, records: Sequence[Record], rows: pyarrow.Array | None = None, by_key: bool = False) -> pyarrow.Table:
        """The user's columns. rows: the number of the record of each row; None: a row for each record."""
        import pyarrow

        runs = [(block, list(run)) for block, run in groupby(records, key=_block)]
        parts = self._parts([(block, run) for block, run in runs if block is not None])
        if not parts:
            return pyarrow.table({})
        self._names = self._names or parts[0].column_names  # in the order of the first file
        table = pyarrow.concat_tables([part.select(self._names) for part in parts])
        if by_key and self._source.columns.id is not None:
            table = table.select([self._source.columns.id])
        return table if rows is None else table.take(rows)

    def _parts(self, runs: list[tuple[Block, list[Record]]]) -> list[pyarrow.Table]:
        if not any(isinstance(block, JsonBlock) for block, _ in runs) and not self._has_json:
            return [block.table([record.number for record in run]) for block, run in runs]
        kinds = self._kinds = self._kinds or self._found(runs)
        own_runs = [(_as_json(block), run) for block, run in runs]
        if self._streams:
            for own, run in own_runs:
                self._check(kinds, own, run)
        self._names = list(kinds.of)
        tables = [own.table([r.number for r in run], kinds if self._form == "parquet" else None) for own, run in own_runs]
        return tables if self._form == "parquet" else [_with_all(table, kinds) for table in tables]

    @property
    def _has_json(self) -> bool:
        return not self._source.texts and any(self._source.layout.form_of(f) in ("json", "jsonl") for f in self._source.files)

    @property
    def _streams(self) -> bool:
        return any(map(is_stream, self._source.files))

    def _found(self, runs: list[tuple[Block, list[Record]]]) -> Kinds:
        """The columns of all rows; of the first ones, if standard input is read."""
        kinds = Kinds()
        if self._streams:
            for block, run in runs:
                _add(kinds, block, [record.number for record in run])
            return kinds
        for file in self._source.files:
            with suppress(InputError):  # raised again when the rows before it have been scored
                for block in self._source.blocks(file):
                    rows = enumerate(block.rows(self._source.columns.names, whole=True))
                    _add(kinds, block, [number for number, row in rows if not row.problem])
        return kinds

    def _check(self, kinds: Kinds, block: JsonBlock, run: list[Record]) -> None:
        """Columns that appear late on standard input. Raises InputError if the output cannot have them."""
        rows = block.objects
        for record in run:
            name = kinds.refuse(rows[record.number])
            if name is None:
                continue
            if name in kinds.of and self._form != "parquet":
                continue
            if self._form == "jsonl":
                kinds.add(rows[record.number])
                continue
            what = "has another type of value" if name in kinds.of else "first appears"
            raise InputError(
                f"{record.where}: the column {name!r} {what} here, after the first rows were written, and the columns of a "
                f".{self._form} file are fixed; give the input by --file, or write JSON (--json, or --output NAME.jsonl)"
            )

    def _repeats(self, theirs: Sequence[str]) -> set[str]:
        """Our columns that repeat the user's."""
        columns = self._source.columns
        texts = {"text", "candidate"} if columns.text in theirs else set()
        return texts | ({"context_text"} if columns.context in theirs else set())

    def _tell(self, names: dict[str, str]) -> None:
        new = {name: suffixed for name, suffixed in names.items() if name not in self._told}
        if new:
            note(f"chainrule: note: {told(new)}")
            self._told |= new.keys()


def _block(record: Record) -> Block | None:
    return record.block if record.block is not None and len(record.block.names) else None


def _add(kinds: Kinds, block: Block, numbers: Sequence[int]) -> None:
    rows = _as_json(block).objects
    for number in numbers:
        kinds.add(rows[number])


def _as_json(block: Block) -> JsonBlock:
    """Rows of JSON; rows of plain lines or CSV, read together with JSON, as objects of texts."""
    if isinstance(block, JsonBlock):
        return block
    own = JsonBlock("{}", 0, None)
    for row in block.table(range(len(block))).to_pylist():
        own.add(row, "")
    return own


def _with_all(table: pyarrow.Table, kinds: Kinds) -> pyarrow.Table:
    """The table with the columns of all rows, in their order."""
    import pyarrow

    blank = pyarrow.nulls(table.num_rows, pyarrow.string())
    schema = pyarrow.schema([pyarrow.field(name, pyarrow.string(), metadata=MARK) for name in kinds.of])
    columns = [table[name] if name in table.column_names else blank for name in kinds.of]
    return pyarrow.Table.from_arrays(columns, schema=schema)


def _numbered(ours: pyarrow.Table, records: Sequence[Record], rows: pyarrow.Array) -> pyarrow.Table:
    """Our columns with numbers of rows of the whole input in `index`, and then the file, if there are several."""
    import pyarrow

    at = ours.schema.get_field_index("index")
    numbers = pyarrow.array([record.index for record in records], pyarrow.int64())
    ours = ours.set_column(at, "index", numbers.take(rows))
    if all(record.file is None for record in records):
        return ours
    files = pyarrow.array([record.file for record in records], pyarrow.string())
    return ours.add_column(at + 1, "file", files.take(rows))
