"""chainrule pairs: the options and the command."""

# Heavy imports are inside functions, after the arguments have been parsed.

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from typer import Argument, Option

from chainrule.cli.app import command
from chainrule.cli.input_options import InputOptions
from chainrule.cli.options import ModelOptions, OutputOptions, TemperatureOptions, TextOptions, WindowOptions
from chainrule.cli.plot_options import PlotOptions, pair_plot
from chainrule.cli.reject import reject
from chainrule.errors import InputError

if TYPE_CHECKING:
    from chainrule.cli.pair_input import PairSource


class PairRow(StrEnum):
    """The kind of row in the output."""

    pair = "pair"
    accuracy = "accuracy"


@dataclass(frozen=True)
class PairOptions:
    """What the columns of a table of pairs are."""

    panel: ClassVar = "Pairs"
    good: Annotated[
        str | None,
        Option(
            metavar="NAME",
            help="The column of the good texts; with --condition, the condition of the good texts. Default: good, or "
            "sentence_good.",
        ),
    ] = None
    bad: Annotated[
        str | None,
        Option(metavar="NAME", help="The same for the bad texts. Default: bad, or sentence_bad; of two conditions, the other."),
    ] = None
    phenomenon: Annotated[str | None, Option(metavar="NAME", help="A column to group the pairs by.")] = None
    marked: Annotated[
        bool, Option("--marked", help="Compare only the part of each text that is marked: The keys |are| here.")
    ] = False
    good_region: Annotated[
        str | None, Option(metavar="NAME", help="In place of marks, a column with the part of each good text to compare.")
    ] = None
    bad_region: Annotated[str | None, Option(metavar="NAME", help="The same of each bad text. Default: as --good-region.")] = (
        None
    )
    by: Annotated[
        str | None,
        Option(metavar="NAME", help="One text in a row: the column of the item, which the two texts of a pair share."),
    ] = None
    condition: Annotated[
        str | None, Option(metavar="NAME", help="One text in a row: the column that says which text is the good one.")
    ] = None

    def __post_init__(self) -> None:
        if (self.by is None) != (self.condition is None):
            raise InputError("--by and --condition belong together: the items and the conditions of a table of single texts")
        if self.by is not None and self.good is None:
            raise InputError("with --by and --condition, --good names the condition of the good texts")
        if self.bad_region is not None and self.good_region is None:
            raise InputError("--bad-region needs --good-region, the column of the parts of the good texts")
        if self.marked:
            reject("names a column of parts, but --marked says that the texts mark them", good_region=self.good_region)

    def source(self, files: list[str] | None, inputs: InputOptions, context: str | None) -> PairSource:
        """The pairs of the files, else of standard input. Raises InputError."""
        from chainrule.cli.pair_input import LongSource, PairColumns, PairSource

        rows: dict[str, Any] = {"texts": [], "files": files or [], "context": context} | inputs.rows()
        if self.by is None or self.condition is None:
            reject("is for tables with one text in a row, with --by and --condition", text_column=inputs.text_column)
            rows["columns"] = PairColumns(self.good, inputs.context_column, self.bad, inputs.id)
            return PairSource(**rows)
        reject("counts rows, but with --by a pair is two rows", from_=inputs.begin)
        reject("names the key of a row, but with --by a pair is two rows, and the item is its key", id=inputs.id)
        return LongSource(item=self.by, condition=self.condition, good=self.good, bad=self.bad, **rows)


@command("Score texts", omit=["file", "second_segment_column"])
def pairs(
    *,
    files: Annotated[
        list[str] | None,
        Argument(
            metavar="FILE",
            help="Tables with a good and a bad text in each row: .csv .tsv .jsonl .json .parquet .feather. Default: standard "
            "input.",
        ),
    ] = None,
    per: Annotated[
        PairRow, Option(metavar="ROW", help="Rows of tables: one for each pair, or one for each phenomenon and measure.")
    ] = PairRow.pair,
    columns: PairOptions,
    windows: WindowOptions,
    texts: TextOptions,
    softmax: TemperatureOptions,
    inputs: InputOptions,
    outputs: OutputOptions,
    plots: PlotOptions,
    model: ModelOptions,
) -> None:
    """Compare minimal pairs: which text of each is more probable. The accuracy is the share of pairs whose good text is."""
    from chainrule.cli.pairs import pairs_stream

    outputs.check()
    source = columns.source(files, inputs, texts.context)
    options: dict[str, Any] = windows.arguments() | texts.arguments()
    options |= {"temperature": softmax.temperature, "marked": columns.marked}
    named = {"phenomenon": columns.phenomenon, "good_region": columns.good_region, "bad_region": columns.bad_region}
    with plots.file(pair_plot, source.files) as plot, outputs.sink(source.files) as sink:
        pairs_stream(model.load, source, sink, per, options, named, plot)
