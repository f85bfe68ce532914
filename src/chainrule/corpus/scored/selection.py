"""A selection: the rows of the parts that satisfy a condition, in parts of the same names in a second folder."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chainrule.corpus.scored.expression import Condition
from chainrule.corpus.scored.parts import Parts, part_paths
from chainrule.corpus.scored.quantiles import Thresholds
from chainrule.errors import InputError, OutputError
from chainrule.files.row_text import json_text
from chainrule.files.writing import Writer, write_bytes

if TYPE_CHECKING:
    import pyarrow

RECORD = "_selection.json"  # it marks a folder as one of selections, and is written before the first part


@dataclass(frozen=True)
class Selection:
    """What was read and what was selected. source: the name of the folder of the parts."""

    source: str
    where: str | None
    thresholds: Thresholds | None
    parts: int
    rows: int
    selected: int

    def to_dict(self) -> dict[str, Any]:
        """Plain data. Write it with `json_text`: a threshold can be infinite."""
        return {
            "source": self.source,
            "where": self.where,
            "quantiles": None if self.thresholds is None else self.thresholds.to_dict(),
            "parts": self.parts,
            "rows": self.rows,
            "selected": self.selected,
        }


def select(
    parts: Parts, folder: str | os.PathLike[str], where: str | None = None, thresholds: Thresholds | None = None
) -> Selection:
    """Copy the rows for which a condition is true to a folder, which is made if it is missing. Each file is written whole.

    A second call writes all parts again, and removes those that the source has no more.

    where: the condition, see `Condition`; None: all rows. thresholds: adds the column `quantile`, which the condition can name.

    Raises InputError if neither is given, or for a condition that cannot be applied; OutputError if the folder is that of the
    parts, has Parquet files other than those of a selection from this source, or cannot be written.
    """
    if where is None and thresholds is None:
        raise InputError("nothing is selected: give a condition (where), thresholds, or both")
    schema = _with_quantiles(parts.schema.empty_table(), thresholds).schema
    condition = None if where is None else Condition(where, schema)
    target = _target(parts, Path(folder))
    write_bytes(target / RECORD, _record({"source": parts.name, "complete": False}))
    rows = selected = 0
    for path in parts.paths:
        read, kept = _copy(parts, path, target / path.name, schema, condition, thresholds)
        rows, selected = rows + read, selected + kept
    _remove_others(parts, target)
    result = Selection(parts.name, where, thresholds, len(parts.paths), rows, selected)
    write_bytes(target / RECORD, _record(result.to_dict() | {"complete": True}))
    return result


def _copy(
    parts: Parts, path: Path, to: Path, schema: pyarrow.Schema, condition: Condition | None, thresholds: Thresholds | None
) -> tuple[int, int]:
    """Write the selected rows of a part; return the numbers of rows that were read and selected."""
    read = selected = 0
    with Writer(to) as writer:
        for rows in parts.tables_of(path):
            chosen = _with_quantiles(rows, thresholds)
            chosen = chosen if condition is None else condition.filter(chosen)
            read, selected = read + rows.num_rows, selected + chosen.num_rows
            if chosen.num_rows:
                writer.write(chosen.replace_schema_metadata(schema.metadata))
        if not selected:
            writer.write(schema.empty_table())  # a part without selected rows is a file too
    return read, selected


def _with_quantiles(rows: pyarrow.Table, thresholds: Thresholds | None) -> pyarrow.Table:
    return rows if thresholds is None else thresholds.with_quantiles(rows)


def _target(parts: Parts, folder: Path) -> Path:
    """The folder, made if it is missing. Raises OutputError if it has files that are not of a selection from these parts."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if folder.samefile(parts.folder):
            raise OutputError(f"{folder} is the folder that is read: name another folder")
        names = sorted(entry.name for entry in os.scandir(folder) if not entry.name.startswith((".", "_")))
    except OSError as error:
        raise OutputError(f"cannot write to the folder {folder}: {error.strerror or error}") from None
    source = _source(folder)
    own = {path.name for path in part_paths(folder)} if source is not None else set()
    others = [name for name in names if name.lower().endswith(".parquet") and name not in own]
    if others:
        raise OutputError(f"{folder} has Parquet files that are not of a selection, such as {others[0]}: name another folder")
    if own and source != parts.name:
        raise OutputError(
            f"{folder} has a selection from {source!r}, not from {parts.name!r}: name another folder, or remove it"
        )
    return folder


def _source(folder: Path) -> str | None:
    """The name of the folder from which a selection was made; None if the folder has no selection."""
    try:
        record = json.loads((folder / RECORD).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    source = record.get("source") if isinstance(record, dict) else None
    return source if isinstance(source, str) else None


def _remove_others(parts: Parts, target: Path) -> None:
    """Remove the parts of an earlier selection that the source has no more."""
    names = {path.name for path in parts.paths}
    for path in part_paths(target):
        if path.name not in names:
            try:
                path.unlink()
            except OSError as error:
                raise OutputError(f"cannot remove {path}: {error.strerror or error}") from None


def _record(content: dict[str, Any]) -> bytes:
    return (json_text(content, indent=2) + "\n").encode()
