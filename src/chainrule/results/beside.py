"""A user's table and a table of results with the same rows, as one table: the user's columns first, then ours."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from chainrule.errors import InputError

if TYPE_CHECKING:
    import pyarrow

SUFFIX = "_chainrule"


def beside(theirs: pyarrow.Table, ours: pyarrow.Table) -> tuple[pyarrow.Table, dict[str, str]]:
    """The columns of `theirs`, unchanged, then those of `ours`, with the metadata of `ours`.

    The dictionary has the new names of our columns whose name is taken: see `renamed`. Raises InputError if the numbers of
    rows differ.
    """
    import pyarrow

    if theirs.num_columns and theirs.num_rows != ours.num_rows:
        raise InputError(f"the tables have {theirs.num_rows} and {ours.num_rows} rows, but must have the same rows")
    names = renamed(theirs.column_names, ours.column_names)
    fields = [*theirs.schema, *(field.with_name(names.get(field.name, field.name)) for field in ours.schema)]
    schema = pyarrow.schema(fields, metadata=ours.schema.metadata)
    return pyarrow.Table.from_arrays([*theirs.columns, *ours.columns], schema=schema), names


def renamed(theirs: Collection[str], ours: Iterable[str]) -> dict[str, str]:
    """New names for our columns whose name is that of a column of the user: rank_chainrule, or rank_chainrule2, 3 …"""
    ours = list(ours)
    taken = {*theirs, *ours}
    names = {}
    for name in ours:
        if name in theirs:
            new, number = name + SUFFIX, 1
            while new in taken:
                number += 1
                new = f"{name}{SUFFIX}{number}"
            taken.add(new)
            names[name] = new
    return names


def told(names: dict[str, str]) -> str:
    """A sentence about the new names, for a note or a warning."""
    columns = ", ".join(f"{old} is {new}" for old, new in names.items())
    return f"your table has columns with the names of ours, which keep them; of our columns, {columns}"
