"""The parts of an output folder: their files, their columns, and their rows, read one row group at a time."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from chainrule.errors import InputError
from chainrule.files.rows import listed
from chainrule.results.beside import SUFFIX, renamed

if TYPE_CHECKING:
    import pyarrow

_PART = re.compile(r"part-(\d+)-(\d+)\.parquet")


class Parts:
    """The parts of a folder, in order. `schema` is that of the first; all others must have the same."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        """Raises InputError if the folder cannot be read or has no parts."""
        self.folder = Path(folder)
        self.paths = part_paths(self.folder)
        if not self.paths:
            raise InputError(
                f"the folder {self.folder} has no parts (part-00000-00000.parquet …): name the folder of a finished run"
            )
        import pyarrow.parquet

        with _reading(self.paths[0]):
            self.schema: pyarrow.Schema = pyarrow.parquet.read_schema(self.paths[0])

    @property
    def name(self) -> str:
        """The name of the folder, without the path to it."""
        return self.folder.resolve().name

    def ours(self, name: str) -> str:
        """The name that a column of ours has here. Raises InputError if there is none."""
        return own_column(self.schema, name)

    def tables(self, columns: Iterable[str] | None = None) -> Iterator[pyarrow.Table]:
        """The rows of all parts, in order, one row group at a time. columns: the columns that are read; None: all.

        Raises InputError for a part that cannot be read or has another schema.
        """
        for path in self.paths:
            yield from self.tables_of(path, columns)

    def tables_of(self, path: Path, columns: Iterable[str] | None = None) -> Iterator[pyarrow.Table]:
        """As `tables`, for one part; at least one table, which is empty for a part without rows."""
        import pyarrow.parquet

        names = self.schema.names if columns is None else list(dict.fromkeys(columns))
        with _reading(path), pyarrow.parquet.ParquetFile(path) as file:
            if not file.schema_arrow.equals(self.schema):
                raise InputError(f"{path} has other columns than {self.paths[0].name}: use parts of one run only")
            if not file.num_row_groups:
                yield self.schema.empty_table().select(names)
            for group in range(file.num_row_groups):
                # A name with a dot also selects fields of structs, so the columns are selected again.
                yield file.read_row_group(group, columns=names).select(names)


def part_paths(folder: Path) -> list[Path]:
    """The parts of a folder, in order. Raises InputError if the folder cannot be read."""
    try:
        found = [(_PART.fullmatch(entry.name), entry) for entry in os.scandir(folder) if entry.is_file()]
    except OSError as error:
        raise InputError(f"cannot read the folder {folder}: {error.strerror or error}") from None
    numbered = [(int(match[1]), int(match[2]), entry.name) for match, entry in found if match]
    return [folder / name for *_, name in sorted(numbered)]


def own_column(schema: pyarrow.Schema, name: str) -> str:
    """The name that a column of ours has in a table: `name`, or with a suffix if the user's table has a column `name`.

    Our columns follow those of the user, so it is the last column with one of these names. Raises InputError if there is none.
    """
    form = re.compile(rf"{re.escape(name)}(?:{SUFFIX}[0-9]*)?")
    own = next(filter(form.fullmatch, reversed(schema.names)), None)
    if own is None:
        raise InputError(f"there is no column {name!r}, which every scored corpus has; {listed(schema.names)}")
    return own


def free_name(schema: pyarrow.Schema, name: str) -> str:
    """The name for a new column of ours."""
    return renamed(schema.names, [name]).get(name, name)


def find_column(schema: pyarrow.Schema, name: str) -> pyarrow.Field:
    """A column by its exact name. Raises InputError with the nearest name, or if there are two."""
    if (count := schema.names.count(name)) > 1:
        raise InputError(f"there are {count} columns {name!r}: rename them")
    if not count:
        raise InputError(unknown_column(name, schema.names))
    return schema.field(name)


def unknown_column(name: str, names: Sequence[str]) -> str:
    """The message for a column that is missing."""
    near = get_close_matches(name, names, n=1)
    return f"there is no column {name!r}{f' (did you mean {near[0]!r}?)' if near else ''}; {listed(names)}"


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Convert the errors of a damaged file to InputError."""
    import pyarrow

    try:
        yield
    except (OSError, pyarrow.ArrowException) as error:
        message = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise InputError(f"cannot read {path}: it is not Parquet, or it is damaged ({message[:200]})") from None
