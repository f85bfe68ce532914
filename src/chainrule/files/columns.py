"""The columns of a user's table: which hold texts, contexts and a key, and whether several files have the same columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from chainrule.errors import InputError
from chainrule.files.json_cells import for_csv, is_marked
from chainrule.files.json_rows import JsonBlock
from chainrule.files.opened import name_of
from chainrule.files.rows import Block, listed

if TYPE_CHECKING:
    import pyarrow

_SAMPLE = 100  # rows in which a column of texts is looked for


@dataclass(frozen=True)
class Columns:
    """The columns of the texts (None: see `found`), their contexts, their second segments and a key (None: no column)."""

    text: str | None = None
    context: str | None = None
    pair: str | None = None
    id: str | None = None

    @property
    def options(self) -> dict[str, str | None]:
        """The names of the columns, by command-line option."""
        names = {"text_column": self.text, "context_column": self.context, "second_segment_column": self.pair}
        return names | {"id": self.id}

    @property
    def names(self) -> tuple[str, ...]:
        """The columns of texts."""
        return tuple(name for name in (self.text or "text", self.context, self.pair) if name is not None)

    def found(self, block: Block, name: str) -> tuple[Columns, str]:
        """These columns with that of the texts, and a note if it was guessed. Raises InputError if it cannot be.

        It is named "text", or the only column (besides the others), or the only one whose cells are texts: at least half of
        the first ones have several words, or a letter that is not ASCII. name: of the file.
        """
        if self.text is not None or "text" in block.names or not block.names:
            return replace(self, text=self.text or "text"), ""
        names = [each for each in block.names if each not in (self.context, self.pair, self.id)]
        texts = names if len(names) == 1 else _of_texts(block, names)
        if len(texts) == 1:
            return replace(self, text=texts[0]), f"{name}: the texts are taken from the column {texts[0]!r} (--text-column)"
        reason = (
            f"the columns {' and '.join(map(repr, texts))} hold texts" if texts else "no column is clearly that of the texts"
        )
        raise InputError(f"{name}: there is no column 'text', and {reason}: name it with --text-column; {listed(block.names)}")


def _of_texts(block: Block, names: Sequence[str]) -> list[str]:
    rows = list(block.rows((), whole=True))
    numbers = [number for number, row in enumerate(rows) if not row.problem][:_SAMPLE]
    if rows and not numbers:  # such as in another encoding
        raise InputError(rows[0].problem)
    table = block.table(numbers)
    columns = {name: list(filter(None, _cells(table, name))) for name in names if table.column_names.count(name) == 1}
    return [name for name, cells in columns.items() if cells and 2 * sum(map(_is_text, cells)) >= len(cells)]


def _cells(table: pyarrow.Table, name: str) -> list[str | None]:
    """The cells that are texts."""
    import pyarrow

    column, kind = table[name], table.schema.field(name).type
    if is_marked(table.schema.field(name)):
        return [for_csv(text) if text is not None and text.startswith('"') else None for text in column.to_pylist()]
    kind = kind.value_type if pyarrow.types.is_dictionary(kind) else kind
    text = pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind) or pyarrow.types.is_string_view(kind)
    return column.to_pylist() if text else []


def _is_text(cell: str) -> bool:
    letters = [character for character in cell if character.isalpha()]
    return bool(letters) and (len(cell.split()) > 1 or not "".join(letters).isascii())


class Agreement:
    """Whether several files have the same columns, of the same types. JSON has no types, and its rows any columns."""

    def __init__(self) -> None:
        self._first: tuple[str, pyarrow.Schema] | None = None
        self._json: str | None = None

    def check(self, file: str, block: Block) -> None:
        """Raises InputError if this block has other columns than those before, with the names of the files and the columns."""
        name = name_of(file)
        if isinstance(block, JsonBlock):
            self._json = self._json or name
        else:
            schema = block.table(()).schema
            self._first = self._first or (name, schema)
            first, before = self._first
            if set(schema.names) != set(before.names):
                lacks = [
                    f"{has} has {', '.join(map(repr, more))}"
                    for has, more in ((first, _besides(before, schema)), (name, _besides(schema, before)))
                    if more
                ]
                raise InputError(f"{first} and {name} have different columns: only {', only '.join(lacks)}; score them apart")
            for field in schema:
                if field.type != (kind := before.field(field.name).type):
                    types = f"{kind} in {first} and {field.type} in {name}"
                    raise InputError(f"the column {field.name!r} has the type {types}: score these files apart")
        if self._json and self._first and not all(str(kind) == "string" for kind in self._first[1].types):
            raise InputError(f"{self._first[0]} has types and {self._json} is JSON, which has none: score these files apart")


def _besides(schema: pyarrow.Schema, other: pyarrow.Schema) -> list[str]:
    return [name for name in schema.names if name not in other.names]
