"""Results as rows: Arrow tables, and dictionaries in plain Python, with the columns of `schema.COLUMNS`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

from chainrule._types import Ints
from chainrule.results.columns import PER_TOKEN, Column, Row
from chainrule.results.provenance import WithProvenance, metadata
from chainrule.results.schema import columns

if TYPE_CHECKING:
    import pyarrow


@dataclass(frozen=True)
class Source:
    """Results, and the kind of row that they are written as."""

    row: Row
    results: Any  # iterable over results; a `Batch` if `batch` is true
    batch: bool = True  # whether columns may compute all of their values at once
    take: Ints | None = None  # the number of the result that each row of the table comes from; None: a row per result

    def array(self, column: Column) -> pyarrow.Array:
        """The values of a column."""
        import pyarrow

        if self.batch and column.batch is not None:
            values = column.batch(self.results)
        elif self.row in PER_TOKEN:
            values = list(chain.from_iterable(map(column.value, self.results)))
        else:
            values = list(map(column.value, self.results))
        array = _array(column, values)
        return array if self.take is None else array.take(pyarrow.array(self.take))


def arrays(sources: Iterable[Source], **values: Any) -> dict[str, pyarrow.Array]:
    """The columns of a table whose rows come from these sources, by name. values: of the columns that the caller passes."""
    by_row = {source.row: source for source in sources}
    arrays_by_name = {}
    for column in columns(*by_row):
        row = next(row for row in column.rows if row in by_row)
        arrays_by_name[column.name] = _array(column, values[column.name]) if column.given else by_row[row].array(column)
    return arrays_by_name


def table(row: Row, results: Sequence[WithProvenance], **values: Any) -> pyarrow.Table:
    """A table with one row per result. values: of the columns that the caller passes."""
    import pyarrow

    of_results = metadata(results[0]) if results else None
    return pyarrow.table(arrays([Source(row, results, batch=False)], **values), metadata=of_results)


def record(row: Row, result: Any) -> dict[str, Any]:
    """The row of one result in plain Python, without the columns that a caller passes."""
    return {column.name: column.value(result) for column in columns(row) if not column.given}


def records(rows: Iterable[Row], result: Any) -> list[dict[str, Any]]:
    """The rows of the tokens of one result in plain Python."""
    by_name = {column.name: column.value(result) for column in columns(*rows)}
    return [dict(zip(by_name, values, strict=True)) for values in zip(*by_name.values(), strict=True)]


def _array(column: Column, values: Any) -> pyarrow.Array:
    import pyarrow

    return values if isinstance(values, pyarrow.Array) else pyarrow.array(values, arrow_type(column.type))


def arrow_type(name: str) -> pyarrow.DataType:
    """The type of a column."""
    import pyarrow

    inner = name.removeprefix("list<").removesuffix(">")
    return pyarrow.type_for_alias(name) if inner == name else pyarrow.list_(arrow_type(inner))
