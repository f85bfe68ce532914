"""chainrule words: the options and the command."""

# Heavy imports are inside functions, after the arguments have been parsed.

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from typer import Argument, Option

from chainrule.cli.app import command
from chainrule.cli.input_options import InputOptions
from chainrule.cli.options import ModelOptions, OutputOptions, TemperatureOptions, TextOptions, WindowOptions
from chainrule.cli.plot_options import WordPlotOptions
from chainrule.cli.reject import reject
from chainrule.errors import InputError

if TYPE_CHECKING:
    from chainrule.cli.inputs import Source


Texts = Annotated[list[str] | None, Argument(metavar="TEXT", help="The texts. Default: standard input, one per line.")]


class Unit(StrEnum):
    """The kind of units."""

    whitespace = "whitespace"
    unicode = "unicode"


class Correction(StrEnum):
    """Whether the probability that a word begins and ends belongs to it."""

    full = "full"
    none = "none"


@dataclass(frozen=True)
class WordOptions:
    """What the words are."""

    panel: ClassVar = "Words"
    unit: Annotated[
        Unit | None,
        Option(
            metavar="whitespace|unicode",
            help="Words between white space (default), or the words and punctuation marks of Unicode Standard Annex 29.",
        ),
    ] = None
    correction: Annotated[
        Correction,
        Option(metavar="full|none", help="none: the sum of the factors of a word, not corrected for where it begins and ends."),
    ] = Correction.full
    previous: Annotated[
        int, Option(min=0, max=100, metavar="N", help="Add the surprisals of the N words before: surprisal_bits_prev1 …")
    ] = 0
    regions: Annotated[
        str | None, Option(metavar="NAME", help="A column of texts with marked regions: The old|man|the boats.")
    ] = None
    spans: Annotated[
        str | None, Option(metavar="NAME", help="A column with spans of the text in characters, such as 0:7 8:11.")
    ] = None
    positions: Annotated[
        str | None, Option(metavar="NAME", help="A column with positions of words, from 0, such as 2 or 4-6.")
    ] = None
    by: Annotated[
        str | None,
        Option(metavar="NAME", help="One word in a row: the columns that make a text, such as item,condition."),
    ] = None
    word: Annotated[str | None, Option(metavar="NAME", help="One word in a row: its column. Default: word.")] = None
    sep: Annotated[
        str | None, Option(metavar="TEXT", help="What stands between words in rows, or marked regions. Default: a space.")
    ] = None

    def __post_init__(self) -> None:
        shapes = {"regions": self.regions, "spans": self.spans, "positions": self.positions, "by": self.by}
        given = [name for name, value in shapes.items() if value is not None]
        if len(given) > 1:
            raise InputError(f"--{given[0]} and --{given[1]} each say what the words are: give one of them")
        if given:
            reject(f"says what the words are, and so does --{given[0]}: give one of them", unit=self.unit)
        if self.by is None:
            reject("is for tables with one word in a row: name the columns that make a text with --by", word=self.word)
        if self.by is None and self.regions is None:
            reject("is for tables with --by or --regions", sep=self.sep)

    def source(self, texts: list[str] | None, inputs: InputOptions, context: str | None) -> Source:
        """The texts, with their units. Raises InputError."""
        from dataclasses import replace

        from chainrule.cli.word_input import RegionSource, WordRowsSource

        sep = " " if self.sep is None else self.sep
        shape = next((n for n in ("regions", "spans", "positions", "by") if getattr(self, n) is not None), None)
        if shape is None:
            return inputs.source(texts, context)
        if texts:
            raise InputError(f"--{shape} is for tables, but the texts are given as arguments: use --file")
        rows: dict[str, Any] = {"texts": [], "files": inputs.file or [], "context": context} | inputs.rows()
        if self.by is not None:
            reject("names a column of whole texts, but with --by a row is a word: use --word", text_column=inputs.text_column)
            reject("cannot be used with --by, where each row is a word of a text", skip_empty=inputs.skip_empty)
            reject("cannot be used with --by, where each row is a word of a text", skip_bad=inputs.skip_bad)
            rows["columns"] = replace(rows["columns"], text=self.word or "word")
            names = [name.strip() for name in self.by.split(",")]
            if "" in names:
                raise InputError(f"--by takes names of columns separated by commas, such as item,condition, not {self.by!r}")
            return WordRowsSource(by=names, sep=sep, **rows)
        if self.regions is not None and inputs.text_column is None:
            rows["columns"] = replace(rows["columns"], text=self.regions)
        return RegionSource(regions=self.regions, spans=self.spans, positions=self.positions, sep=sep, **rows)


@command("Score texts", omit=["end", "second_segment_column"])
def words(
    *,
    text: Annotated[
        list[str] | None, Argument(metavar="TEXT", help="The texts. Default: standard input, one per line.")
    ] = None,
    units: WordOptions,
    windows: WindowOptions,
    texts: TextOptions,
    softmax: TemperatureOptions,
    inputs: InputOptions,
    outputs: OutputOptions,
    plots: WordPlotOptions,
    model: ModelOptions,
) -> None:
    """Measure words: the surprisal of each, in bits. It is corrected for where the word begins and ends."""
    from chainrule.cli.words import words_stream

    outputs.check()
    source = units.source(text, inputs, texts.context)
    options: dict[str, Any] = windows.arguments() | texts.arguments()
    options |= {"temperature": softmax.temperature, "correction": str(units.correction), "previous": units.previous}
    options.pop("end", None)
    with plots.file(plots.of_words, source.files) as plot, outputs.sink(source.files) as sink:
        words_stream(model.load, source, sink, str(units.unit or Unit.whitespace), options, plot, plots.plot_by)
