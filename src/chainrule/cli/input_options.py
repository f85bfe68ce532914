"""The options of input: files of texts, their format and columns, and the rows to skip."""

# Heavy imports are inside functions, after the arguments have been parsed.

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from typer import Option

if TYPE_CHECKING:
    from chainrule.cli.inputs import Source


class Form(StrEnum):
    """The format of a file of texts."""

    text = "text"
    csv = "csv"
    tsv = "tsv"
    jsonl = "jsonl"
    json = "json"
    parquet = "parquet"
    arrow = "arrow"


class Quotes(StrEnum):
    """The meaning of a quote at the start of a cell: CSV quoting, or text."""

    csv = "csv"
    text = "text"


@dataclass(frozen=True)
class InputOptions:
    """Files of texts, their format, and the rows to skip."""

    panel: ClassVar = "Input"
    file: Annotated[
        list[str] | None,
        Option(
            "--file",
            "-f",
            metavar="FILE",
            help="Files with one text per line, or tables: .csv .tsv .jsonl .json .parquet .feather; folders of such files; "
            'patterns in quotes, such as "data/*.csv". - is standard input.',
        ),
    ] = None
    text_column: Annotated[
        str | None,
        Option(
            "--text-column",
            "--column",
            metavar="NAME",
            help="The column of the texts; a.b is the field b of the column a. Default: text, or the only column of texts.",
        ),
    ] = None
    context_column: Annotated[str | None, Option(metavar="NAME", help="A column with the context of each text.")] = None
    second_segment_column: Annotated[
        str | None,
        Option(
            metavar="NAME",
            help="A column with a second segment for each text, which is scored as [CLS] text [SEP] segment [SEP]. "
            "For minimal pairs, use chainrule pairs.",
        ),
    ] = None
    id: Annotated[
        str | None,
        Option(
            "--id",
            metavar="NAME",
            help="The column that identifies a row. Every row must have one; rows of tokens have it in place of all columns.",
        ),
    ] = None
    form: Annotated[
        Form | None,
        Option("--format", metavar="FORMAT", help="The format of the input. Default: by the name of the file, or text."),
    ] = None
    encoding: Annotated[str | None, Option(metavar="NAME", help="The encoding of the input. Default: utf-8.")] = None
    quotes: Annotated[
        Quotes | None,
        Option(metavar="csv|text", help="CSV and TSV: whether quotes enclose cells (csv) or are part of the text (text)."),
    ] = None
    separator: Annotated[
        str | None,
        Option(metavar="CHAR", help="CSV: what separates cells, such as ; or tab. Default: by the first line."),
    ] = None
    skip_empty: Annotated[bool, Option("--skip-empty", help="Skip empty lines and cells, which are otherwise an error.")] = (
        False
    )
    skip_bad: Annotated[
        bool, Option("--skip-bad", help="Skip rows that cannot be read or scored, and report their number.")
    ] = False
    begin: Annotated[
        int | None,
        Option(
            "--from",
            min=0,
            metavar="N",
            help="The first row of the input to read, counted from 0, to continue a run that stopped.",
        ),
    ] = None

    def source(self, texts: list[str] | None = None, context: str | None = None) -> Source:
        """These texts, else those of the files, else those of standard input. Raises InputError."""
        from chainrule.cli.inputs import Source

        return Source(texts or [], self.file or [], context=context, **self.rows())

    def rows(self) -> dict[str, Any]:
        """The arguments of a `Source` except its texts, files and context. Raises InputError."""
        from chainrule.cli.option_values import parse_separator
        from chainrule.files.columns import Columns
        from chainrule.files.reading import Layout

        return {
            "columns": Columns(self.text_column, self.context_column, self.second_segment_column, self.id),
            "layout": Layout(self.form, self.encoding, self.quotes, parse_separator(self.separator)),
            "skip_empty": self.skip_empty,
            "skip_bad": self.skip_bad,
            "begin": self.begin,
        }

    def table_options(self) -> dict[str, Any]:
        """All options except --file, by their names on the command line, with "_" for "-"."""
        names = {"form": "format", "begin": "from"}
        return {names.get(name, name): value for name, value in asdict(self).items() if name != "file"}
