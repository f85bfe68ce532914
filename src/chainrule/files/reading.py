"""The rows of a file of any form: plain lines, CSV, TSV, JSON, Parquet and Arrow, by suffix or explicit format."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from chainrule.errors import InputError
from chainrule.files.columnar import arrow_rows, parquet_rows
from chainrule.files.csv_rows import csv_rows
from chainrule.files.json_rows import json_array_rows, json_line_rows
from chainrule.files.opened import STDIN, lines_of, name_of
from chainrule.files.rows import Row, problem_of

FORMS = ("text", "csv", "tsv", "jsonl", "json", "parquet", "arrow")
SUFFIXES = {"": "text", ".txt": "text", ".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json",
            ".parquet": "parquet", ".feather": "arrow", ".arrow": "arrow"}  # fmt: skip


@dataclass(frozen=True)
class Layout:
    """The layout of files, if it is not determined by their names and first bytes."""

    form: str | None = None  # one of FORMS
    encoding: str | None = None
    quotes: str | None = None  # of CSV and TSV: "csv" or "text"

    def form_of(self, file: str) -> str:
        """The format of a file. Raises InputError if it cannot be determined."""
        if self.form is not None:
            return self.form
        path = Path(file)
        suffix = "" if file == STDIN else (Path(path.stem) if path.suffix.lower() in (".gz", ".zst") else path).suffix.lower()
        if suffix not in SUFFIXES:
            raise InputError(
                f"cannot infer the format of {file}: use --format text (one text per line), {', '.join(FORMS[1:])}"
            )
        return SUFFIXES[suffix]


def read_rows(file: str, columns: tuple[str, ...], layout: Layout) -> Iterator[Row]:
    """Every row of a file, or of standard input for "-", with its cells in these columns. A plain line is one cell.

    A row that cannot be used has its `problem` set. Raises InputError if the rest of the file cannot be read.
    """
    form, encoding = layout.form_of(file), layout.encoding
    if form == "text":
        return _line_rows(file, columns, encoding)
    if form in ("csv", "tsv"):
        quotes = layout.quotes or ("csv" if form == "csv" else None)
        return csv_rows(file, columns, encoding, "," if form == "csv" else "\t", quotes)
    if form in ("jsonl", "json"):
        return (json_line_rows if form == "jsonl" else json_array_rows)(file, columns, encoding)
    return (parquet_rows if form == "parquet" else arrow_rows)(file, columns)


def _line_rows(file: str, columns: tuple[str, ...], encoding: str | None) -> Iterator[Row]:
    with lines_of(file, encoding, newline="\n") as lines:
        for number, line in enumerate(lines, 1):
            text = line.removesuffix("\n").removesuffix("\r")
            where, problem = f"line {number} of {name_of(file)}", problem_of(text, encoding)
            yield Row(where, (text,), problem and f"{where} {problem}")
