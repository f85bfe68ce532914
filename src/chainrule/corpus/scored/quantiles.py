"""Head, middle and tail: the thirds of a corpus by a number such as bits_per_byte, within each group, as in CCNet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.corpus.scored.groups import Groups, Key, in_order, indexed
from chainrule.corpus.scored.parts import Parts, find_column, free_name, own_column
from chainrule.corpus.scored.ranks import quantile
from chainrule.errors import InputError

if TYPE_CHECKING:
    import pyarrow

QUANTILE = "quantile"  # the column
NAMES = ("head", "middle", "tail")  # low values first


@dataclass(frozen=True)
class Bounds:
    """The thirds of a group: head is at most `lower`, middle at most `upper`, and tail is above.

    value: of the group column; None for null, and without a group column. documents: those with a number and without an error.
    """

    value: Key
    documents: int
    lower: float
    upper: float

    def to_dict(self) -> dict[str, Any]:
        """Plain data. Write it with `json_text`: a bound can be infinite."""
        return {"value": self.value, "documents": self.documents, "lower": self.lower, "upper": self.upper}


@dataclass(frozen=True)
class Thresholds:
    """The bounds of the thirds of a column, for each group that has documents, sorted by their values; null is the last."""

    column: str
    by: str | None
    groups: tuple[Bounds, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data. Write it with `json_text`: a bound can be infinite."""
        return {"column": self.column, "by": self.by, "groups": [group.to_dict() for group in self.groups]}

    def quantiles(self, rows: pyarrow.Table) -> pyarrow.Array:
        """ "head", "middle" or "tail" for each row; null for one with an error, without a number, or in an unknown group."""
        import pyarrow

        values, scored = _numbers(rows, self.column)
        if self.by is None:
            group = np.full(rows.num_rows, self._places.get(None, -1))
        else:
            numbers, keys = indexed(rows[self.by])
            group = np.array([self._places.get(key, -1) for key in keys], np.int64)[numbers]
        known = scored & (group >= 0)
        lower, upper = (np.array([*own, np.nan])[group] for own in self._ends)
        third = (values > lower).astype(np.int8) + (values > upper)
        return pyarrow.DictionaryArray.from_arrays(pyarrow.array(third, mask=~known), list(NAMES)).cast(pyarrow.string())

    def with_quantiles(self, rows: pyarrow.Table) -> pyarrow.Table:
        """The rows with a further column, `quantile`."""
        return rows.append_column(free_name(rows.schema, QUANTILE), self.quantiles(rows))

    @cached_property
    def _places(self) -> dict[Key, int]:
        return {group.value: place for place, group in enumerate(self.groups)}

    @cached_property
    def _ends(self) -> tuple[list[float], list[float]]:
        return [group.lower for group in self.groups], [group.upper for group in self.groups]


def thresholds(parts: Parts, column: str, by: str | None = None) -> Thresholds:
    """The bounds of the thirds of a column of numbers over all rows without an error, for each value of the column `by`.

    Raises InputError if a column is missing, the first is not one of numbers, or the second has more than 10,000 values.
    """
    import pyarrow

    check_number(parts.schema, column)
    groups = Groups(parts.schema, by)
    columns = [column, parts.ours("error"), *([] if by is None else [by])]
    values, numbers = [np.empty(0)], [np.empty(0, np.int32)]
    for rows in parts.tables(columns):
        own, scored = _numbers(rows, column)
        values.append(own[scored])
        numbers.append(groups.numbers(rows.filter(pyarrow.array(scored))))
    found = [
        Bounds(groups.keys[number], len(own), quantile(own, 1, 3), quantile(own, 2, 3))
        for number, own in grouped(np.concatenate(values), np.concatenate(numbers), len(groups))
    ]
    return Thresholds(column, by, tuple(sorted(found, key=lambda group: in_order(group.value))))


def grouped(values: np.ndarray, numbers: np.ndarray, count: int) -> Iterator[tuple[int, np.ndarray]]:
    """The number of each group that has values, and its values in ascending order."""
    order = np.lexsort((values, numbers))
    ordered = values[order]
    ends = np.searchsorted(numbers[order], np.arange(count + 1))
    for number in range(count):
        if ends[number] < ends[number + 1]:
            yield number, ordered[ends[number] : ends[number + 1]]


def check_number(schema: pyarrow.Schema, column: str) -> None:
    """Raises InputError if the column is missing, or not one of numbers."""
    import pyarrow as pa

    kind = find_column(schema, column).type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        raise InputError(f"column {column!r} has type {kind}, not numbers: use one of numbers, such as bits_per_byte")


def _numbers(rows: pyarrow.Table, column: str) -> tuple[np.ndarray, np.ndarray]:
    """The numbers as 64-bit floats, and whether each is there, in a row without an error."""
    values = doubles(rows[column])
    failed = rows[own_column(rows.schema, "error")].is_valid().to_numpy()
    return values, ~(np.isnan(values) | failed)


def doubles(column: pyarrow.ChunkedArray) -> np.ndarray:
    """The numbers of a column as 64-bit floats; NaN for null."""
    import pyarrow

    return column.cast(pyarrow.float64(), safe=False).to_numpy()
