"""The user's columns that come back with the results: which there are, their types in all files, and their values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chainrule.errors import InputError
from chainrule.files.json_cells import Kinds
from chainrule.files.json_rows import JsonBlock
from chainrule.files.opened import name_of
from chainrule.files.rows import Block, check_names, no_column

if TYPE_CHECKING:
    import pyarrow

Blocks = Callable[[str], Iterator[Block]]


@dataclass(frozen=True)
class Kept:
    """Columns with the types that they have in all files; a file that lacks one has null there."""

    schema: pyarrow.Schema
    kinds: Kinds

    @classmethod
    def of(cls, files: Sequence[str], blocks: Blocks, keep: Sequence[str] | None, id: str | None) -> Kept:
        """These columns (None: all) of the files, that of the ids first. JSON has no types, so its rows are read to find them.

        blocks: the rows of a file. Raises InputError for a column that a file lacks, or that has several types.
        """
        import pyarrow

        asked = None if keep is None else list(dict.fromkeys([*([] if id is None else [id]), *keep]))
        kinds, types = Kinds(), _Types()
        for file in files if asked is None or asked else ():
            first = next(blocks(file))
            if isinstance(first, JsonBlock):
                _scan(kinds, blocks(file), asked)
                continue
            names = list(first.names) if asked is None else asked
            check_names(list(first.names), names, name_of(file))
            schema = first.table(()).schema
            for name in names:
                types.add(name, schema.field(name).type, name_of(file))
        of_json = pyarrow.table({name: kinds.array(name, []) for name in kinds.of}).schema
        for field in of_json:
            types.add(field.name, field.type, "the JSON files")
        missing = [name for name in asked or () if name not in types.of]
        if missing:
            raise InputError(no_column(missing[0], types.of))
        names = types.of if asked is None else asked
        return cls(pyarrow.schema([(name, types.of[name][0]) for name in names]), kinds)

    def __bool__(self) -> bool:
        return len(self.schema) > 0

    def table(self, block: Block, numbers: Sequence[int]) -> pyarrow.Table:
        """The columns of some rows of a block."""
        import pyarrow

        own = block.table(numbers, self.kinds) if isinstance(block, JsonBlock) else block.table(numbers)
        columns = [
            own[field.name].cast(field.type) if field.name in own.column_names else pyarrow.nulls(len(numbers), field.type)
            for field in self.schema
        ]
        return pyarrow.Table.from_arrays(columns, schema=self.schema)


class _Types:
    """The type of each column, and the file that it is from."""

    def __init__(self) -> None:
        self.of: dict[str, tuple[pyarrow.DataType, str]] = {}

    def add(self, name: str, kind: pyarrow.DataType, file: str) -> None:
        """Add a column of a file. Raises InputError if it has another type in a file before; null fits all types."""
        import pyarrow

        before, first = self.of.get(name, (kind, file))
        if before != kind and not pyarrow.types.is_null(kind):
            if not pyarrow.types.is_null(before):
                raise InputError(
                    f"the column {name!r} is {before} in {first} and {kind} in {file}: leave it out of the columns to keep, "
                    "or score these files apart"
                )
            before, first = kind, file
        self.of[name] = before, first


def _scan(kinds: Kinds, blocks: Iterator[Block], asked: Sequence[str] | None) -> None:
    """Add the columns of all rows of a JSON file."""
    for block in blocks:
        for row in block.objects if isinstance(block, JsonBlock) else ():
            kinds.add(row if asked is None else {name: row[name] for name in asked if name in row})
