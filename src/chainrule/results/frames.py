"""A user's table in the library that it comes from: pandas, Polars or Arrow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chainrule._types import Ints
from chainrule.errors import InputError, short
from chainrule.results.beside import beside, renamed


class Frame:
    """A DataFrame of pandas or Polars, or a Table or RecordBatch of Arrow."""

    def __init__(self, frame: Any) -> None:
        """Raises InputError for anything else."""
        kind = type(frame)
        self._library, name = kind.__module__.partition(".")[0], kind.__name__
        names = [each.__name__ for each in kind.__mro__]
        frames = {"pandas": ["DataFrame"], "polars": ["DataFrame"], "pyarrow": ["Table", "RecordBatch"]}
        for library, known in frames.items():  # also subclasses, such as those of geopandas
            if any(each.__module__.partition(".")[0] == library and each.__name__ in known for each in kind.__mro__):
                self._library = library
                break
        else:
            remedy = "pass frame.collect()" if "LazyFrame" in names else "for a list or one column, use score_batch"
            raise InputError(
                f"the table must be a DataFrame of pandas or Polars, or an Arrow table, not {name} ({short(frame)}): {remedy}"
            )
        if self._library == "pandas" and frame.columns.nlevels > 1:
            raise InputError(f"the columns have {frame.columns.nlevels} levels: join their names into one")
        self._frame = frame

    def __len__(self) -> int:
        return self._frame.num_rows if self._library == "pyarrow" else len(self._frame)

    @property
    def names(self) -> list[Any]:
        """The names of the columns."""
        return list(self._frame.schema.names if self._library == "pyarrow" else self._frame.columns)

    def rows(self) -> list[dict[Any, Any]]:
        """All rows in plain Python."""
        match self._library:
            case "pandas":
                return self._frame.to_dict("records")
            case "polars":
                return self._frame.to_dicts()
            case _:
                return self._frame.to_pylist()

    def column(self, name: str, what: str) -> Any:
        """A column. what: the argument that names it. Raises InputError if there is none, or two."""
        if (count := self.names.count(name)) != 1:
            there = f"there are {count} columns" if count else "there is no column"
            columns = ", ".join(map(str, self.names[:50])) + (" …" if len(self.names) > 50 else "")
            raise InputError(f"{there} {name!r} ({what}); the columns are: {columns}")
        return self._frame.column(name) if self._library == "pyarrow" else self._frame[name]

    def beside(self, ours: Any, rows: Ints | None, names: Sequence[str] | None = None) -> tuple[Any, dict[str, str]]:
        """These columns, then ours, in a frame of the same library, and the new names of ours: see `results.beside`.

        ours: an Arrow table. rows: the row of this frame of each row of ours; None: the same rows. names: the columns to
        keep; None: all.
        """
        return {"pandas": self._pandas, "polars": self._polars, "pyarrow": self._arrow}[self._library](ours, rows, names)

    def _pandas(self, ours: Any, rows: Ints | None, names: Sequence[str] | None) -> tuple[Any, dict[str, str]]:
        theirs = self._frame if names is None else self._frame[list(names)]
        theirs = theirs if rows is None else theirs.iloc[rows]
        new = renamed(self.names if names is None else names, ours.column_names)
        added = ours.rename_columns([new.get(name, name) for name in ours.column_names]).to_pandas()
        return theirs.assign(**{name: added[name].array for name in added.columns}), new

    def _polars(self, ours: Any, rows: Ints | None, names: Sequence[str] | None) -> tuple[Any, dict[str, str]]:
        import polars

        theirs = self._frame if names is None else self._frame.select(names)
        theirs = theirs if rows is None else theirs[rows.tolist()]
        new = renamed(theirs.columns, ours.column_names)
        return theirs.hstack(polars.from_arrow(ours.rename_columns([new.get(name, name) for name in ours.column_names]))), new

    def _arrow(self, ours: Any, rows: Ints | None, names: Sequence[str] | None) -> tuple[Any, dict[str, str]]:
        import pyarrow

        batch = isinstance(self._frame, pyarrow.RecordBatch)
        theirs = pyarrow.Table.from_batches([self._frame]) if batch else self._frame
        theirs = theirs if names is None else theirs.select(names)
        both, new = beside(theirs if rows is None else theirs.take(rows), ours)
        if not batch:
            return both, new
        columns = [column.combine_chunks() for column in both.columns]
        columns = [c.chunk(0) if isinstance(c, pyarrow.ChunkedArray) else c for c in columns]
        return pyarrow.RecordBatch.from_arrays(columns, schema=both.schema), new
