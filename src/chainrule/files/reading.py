"""The rows of a file of any form: plain lines, CSV, TSV, JSON, Parquet and Arrow, by suffix or explicit format."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from chainrule.errors import InputError
from chainrule.files.columnar import arrow_blocks, parquet_blocks
from chainrule.files.csv_rows import csv_blocks
from chainrule.files.json_rows import json_array_blocks, json_line_blocks
from chainrule.files.line_rows import line_blocks
from chainrule.files.opened import STDIN
from chainrule.files.remote import is_remote, without_options
from chainrule.files.rows import Block, Row

FORMS = ("text", "csv", "tsv", "jsonl", "json", "parquet", "arrow")
SUFFIXES = {"": "text", ".txt": "text", ".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json",
            ".parquet": "parquet", ".feather": "arrow", ".arrow": "arrow"}  # fmt: skip


@dataclass(frozen=True)
class Layout:
    """The layout of files, if it is not determined by their names and first bytes."""

    form: str | None = None  # one of FORMS
    encoding: str | None = None
    quotes: str | None = None  # of CSV and TSV: "csv" or "text"
    separator: str | None = None  # between cells of CSV and TSV

    def form_of(self, file: str) -> str:
        """The format of a file. Raises InputError if it cannot be determined."""
        if self.form is not None:
            return self.form
        path = Path(without_options(file) if is_remote(file) else file)
        suffix = "" if file == STDIN else (Path(path.stem) if path.suffix.lower() in (".gz", ".zst") else path).suffix.lower()
        if suffix not in SUFFIXES:
            raise InputError(
                f"cannot infer the format of {file}: use --format text (one text per line), {', '.join(FORMS[1:])}"
            )
        return SUFFIXES[suffix]


def read_blocks(
    file: str, layout: Layout, columns: Sequence[str] | None = None, line_column: str | None = None
) -> Iterator[Block]:
    """The rows of a file, or of standard input for "-", some at a time; one block at least, which may be empty.

    columns: those that are read, if the format stores columns separately; None: all. line_column: the name of the column of
    plain lines, if they are to have one. Raises InputError if the rest of the file cannot be read.
    """
    form, encoding = layout.form_of(file), layout.encoding
    if form == "text":
        return line_blocks(file, encoding, line_column)
    if form in ("csv", "tsv"):
        quotes = layout.quotes or ("csv" if form == "csv" else None)
        return csv_blocks(file, encoding, layout.separator or ("\t" if form == "tsv" else None), quotes)
    if form in ("jsonl", "json"):
        return (json_line_blocks if form == "jsonl" else json_array_blocks)(file, encoding)
    return (parquet_blocks if form == "parquet" else arrow_blocks)(file, columns)


def read_rows(file: str, columns: Sequence[str], layout: Layout) -> Iterator[Row]:
    """Every row of a file, or of standard input for "-", with its cells in these columns. A plain line is one cell.

    A row that cannot be used has its `problem` set. Raises InputError if the rest of the file cannot be read.
    """
    for block in read_blocks(file, layout, columns):
        yield from block.rows(columns)
