"""The groups of rows: the values of a column, such as a language, numbered in the order in which they come."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from chainrule.corpus.scored.parts import find_column
from chainrule.errors import InputError

if TYPE_CHECKING:
    import pyarrow

MOST = 10_000  # groups
Key = str | int | bool | None  # the value of a group; null is a group of its own


class Groups:
    """The groups of a column; without a column, one group of all rows, whose value is None."""

    def __init__(self, schema: pyarrow.Schema, by: str | None) -> None:
        """Raises InputError if the column is missing, or has values other than texts, integers and truth values."""
        self.by = by
        self._numbers: dict[Key, int] = {}
        if by is not None:
            _check(schema, by)

    @property
    def keys(self) -> list[Key]:
        """The values of the groups; the place of each is its number."""
        return list(self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)

    def numbers(self, rows: pyarrow.Table) -> np.ndarray:
        """The number of the group of each row (int32). Raises InputError for more than 10,000 groups."""
        if self.by is None:
            if rows.num_rows:
                self._number(None)
            return np.zeros(rows.num_rows, np.int32)
        numbers, values = indexed(rows[self.by])
        return np.array([self._number(value) for value in values], np.int32)[numbers]

    def _number(self, key: Key) -> int:
        number = self._numbers.setdefault(key, len(self._numbers))
        if number >= MOST:
            raise InputError(
                f"column {self.by!r} has more than {MOST:,} values: group by a column with fewer, such as a language"
            )
        return number


def indexed(column: pyarrow.ChunkedArray) -> tuple[np.ndarray, list[Key]]:
    """For each row the place of its value in a list of the distinct values, and the list; null is one of them if it occurs."""
    import pyarrow

    if isinstance(column.type, pyarrow.DictionaryType):  # the dictionaries may have values that no row has
        column = column.cast(column.type.value_type)
    encoded = column.combine_chunks().dictionary_encode()
    if isinstance(encoded, pyarrow.ChunkedArray):  # of no chunks, or of too many bytes for one array
        encoded = encoded.unify_dictionaries().combine_chunks()
    values = encoded.dictionary.to_pylist()
    missing = encoded.null_count > 0
    numbers = encoded.indices.fill_null(len(values)) if missing else encoded.indices
    return numbers.to_numpy(zero_copy_only=False), values + [None] * missing


def in_order(key: Key) -> tuple[bool, str | int]:
    """For sorting the values of one column; null comes last."""
    return key is None, 0 if key is None else key


def _check(schema: pyarrow.Schema, by: str) -> None:
    import pyarrow as pa

    kind = find_column(schema, by).type
    values = kind.value_type if isinstance(kind, pa.DictionaryType) else kind
    t = pa.types
    if not (t.is_string(values) or t.is_large_string(values) or t.is_integer(values) or t.is_boolean(values)):
        raise InputError(f"column {by!r} has type {kind}: group by a column of texts, integers or truth values")
