"""Results as tables, for Arrow, pandas, Polars and files."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from chainrule.errors import InputError, OutputError, require
from chainrule.files.row_text import json_text
from chainrule.files.writing import Writer
from chainrule.results.provenance import WithProvenance, metadata

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow


class Tabular(WithProvenance):
    """Results that have tables. A table has one kind of row; the first of `rows_per` is the default."""

    rows_per: ClassVar[dict[str, Callable[[Any], dict[str, Any]]]]  # for each kind of row, a function that computes the columns

    def to_arrow(self, per: str | None = None) -> pyarrow.Table:
        """A table with one row per `per`, each with the start and end policy. Raises InputError for an unknown kind of row."""
        per = per or next(iter(self.rows_per))
        if per not in self.rows_per:
            raise InputError(f"per must be one of {', '.join(map(repr, self.rows_per))}, not {per!r}")
        import pyarrow

        return pyarrow.table(self.rows_per[per](self), metadata=metadata(self))

    def to_pandas(self, per: str | None = None) -> pandas.DataFrame:
        """The table as a DataFrame. Raises OutputError if pandas is not installed."""
        require("pandas", "to_pandas", OutputError)
        return self.to_arrow(per).to_pandas()

    def to_polars(self, per: str | None = None) -> polars.DataFrame:
        """The table as a Polars DataFrame. Raises OutputError if Polars is not installed."""
        require("polars", "to_polars", OutputError)
        import polars

        frame = polars.from_arrow(self.to_arrow(per))
        if not isinstance(frame, polars.DataFrame):
            raise TypeError(f"polars returned a {type(frame).__name__} for a table, not a DataFrame")
        return frame

    def to_dicts(self, per: str | None = None) -> list[dict[str, Any]]:
        return self.to_arrow(per).to_pylist()

    def write(self, path: str, per: str | None = None) -> None:
        """Write the table to a .csv, .jsonl or .parquet file. Raises OutputError if that fails."""
        with Writer(path) as writer:
            writer.write(self.to_arrow(per))

    def to_csv(self, path: str, per: str | None = None) -> None:
        with Writer(path, "csv") as writer:
            writer.write(self.to_arrow(per))

    def to_json(self) -> str:
        """A JSON array of the dictionaries of all results. Infinities are the strings "Infinity" and "-Infinity"."""
        return json_text([result.to_dict() for result in self])  # pyrefly: ignore[not-iterable]  (all subclasses are)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.to_arrow().__arrow_c_stream__(requested_schema)
