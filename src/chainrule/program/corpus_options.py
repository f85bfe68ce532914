"""The options of chainrule corpus."""

# Heavy imports are inside functions, after the arguments have been parsed.

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, ClassVar

from typer import Option

from chainrule.cli.input_options import InputOptions
from chainrule.cli.reject import reject
from chainrule.errors import InputError


class Per(StrEnum):
    """What a row has beside its place: numbers of the document, lists with an entry for each token, or both."""

    document = "document"
    token = "token"
    both = "both"


@dataclass(frozen=True)
class DocumentColumns(InputOptions):
    """The columns of the documents, and the format of the files."""

    text_column: Annotated[
        str | None,
        Option(
            "--text",
            "--text-column",
            "--column",
            metavar="NAME",
            help="The column of the texts; a.b is the field b of the column a. Default: text, or the only column of texts.",
        ),
    ] = None
    keep: Annotated[
        str | None,
        Option("--keep", metavar="NAMES", help="Further columns that come back: their names, with commas, or all."),
    ] = None
    limit: Annotated[int | None, Option(min=1, metavar="N", help="Score the first N documents only.")] = None

    def reading(self) -> dict[str, Any]:
        """How the files are read, as arguments of the library. Raises InputError."""
        from chainrule.cli.option_values import parse_separator

        layout = {"format": self.form, "encoding": self.encoding, "quotes": self.quotes}
        return {name: None if value is None else str(value) for name, value in layout.items()} | {
            "separator": parse_separator(self.separator)
        }

    @property
    def kept(self) -> Any:
        """`keep` of the library."""
        return "all" if self.keep == "all" else tuple(filter(None, (self.keep or "").split(",")))


@dataclass(frozen=True)
class RunOptions:
    """How a run is done."""

    panel: ClassVar = "Run"
    workers: Annotated[
        str,
        Option(metavar="N", help="The number of processes, each with its share of the cores. Default: auto, by a trial."),
    ] = "auto"
    ray: Annotated[
        str | None,
        Option(metavar="ADDRESS", help="Score on a Ray cluster: its address, auto for this machine's, or local to start one."),
    ] = None
    part_size: Annotated[
        int | None,
        Option(min=1, metavar="N", help="About the characters of a part. Default: what a worker scores in 20 s."),
    ] = None
    strict: Annotated[
        bool,
        Option("--strict", help="Stop at the first document that cannot be scored, and at an id that is not unique."),
    ] = False
    fresh: Annotated[bool, Option("--fresh", help="Remove the parts of earlier runs first.")] = False
    dry_run: Annotated[
        bool, Option("--dry-run", help="Count tokens and distinct contexts, and estimate the time. Nothing is written.")
    ] = False

    @property
    def number(self) -> Any:
        """`workers` of the library. Raises InputError."""
        if self.workers != "auto" and not self.workers.isdecimal():
            raise InputError(f"--workers takes a number, or auto, not {self.workers!r}")
        return self.workers if self.workers == "auto" else int(self.workers)


@dataclass(frozen=True)
class FilterOptions:
    """What is made of the scored documents."""

    panel: ClassVar = "Selection"
    where: Annotated[
        str | None,
        Option(metavar="CONDITION", help="Write the rows that satisfy it to --into, such as 'bits_per_byte < 1.2'."),
    ] = None
    into: Annotated[str | None, Option(metavar="PATH", help="The folder of the selected rows.")] = None
    quantiles: Annotated[
        str | None,
        Option(
            metavar="NAME",
            help="A column, such as bits_per_byte: its lowest third is the head, then the middle and the tail. Conditions can "
            "name them (quantile == 'head'), and selected rows have the column quantile.",
        ),
    ] = None
    group_by: Annotated[
        str | None,
        Option(metavar="NAME", help="A column that comes back, such as a language: quantiles and summary by its values."),
    ] = None

    def __post_init__(self) -> None:
        if self.into is None:
            reject("selects rows: name the folder for them with --into", where=self.where)
        elif self.where is None and self.quantiles is None:
            reject("is the folder of selected rows: give a condition with --where, or --quantiles", into=self.into)
