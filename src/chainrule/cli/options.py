"""The options that commands share, in groups: a dataclass is a group, and a field is an option."""

# Heavy imports are inside functions, after the arguments have been parsed.

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from typer import Option

from chainrule.cli.output import note
from chainrule.cli.reject import reject
from chainrule.errors import InputError

if TYPE_CHECKING:
    from chainrule.cli.inputs import Source
    from chainrule.cli.sink import Sink
    from chainrule.language import LanguageModel


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


class Reads(StrEnum):
    """How the name of a control symbol in a text is read: as plain text, or as the symbol."""

    text = "text"
    parse = "parse"


@dataclass(frozen=True)
class ModelOptions:
    """The model, its start symbol, and how it is computed."""

    panel: ClassVar = "Model"
    model: Annotated[
        str | None,
        Option("--model", "-m", help="A packaged model, a model folder, a .gguf file or a hub id. Default: smollm2-135m."),
    ] = None
    start: Annotated[str, Option(help="What x_0 is conditioned on: auto, bos, eos, given, or a token id.")] = "auto"
    dtype: Annotated[str, Option(help="float32, bfloat16, float16, float64, or auto: bfloat16 if the machine supports it.")] = (
        "float32"
    )
    device: Annotated[str, Option(help="cpu, cuda, cuda:1 …")] = "cpu"
    threads: Annotated[
        int | None, Option(min=1, help="The number of threads. Default: the cores that this process may use.")
    ] = None

    def load(self) -> LanguageModel:
        """Load the model. Raises InputError."""
        from chainrule.loading import load

        try:
            start: str | int = int(self.start)
        except ValueError:
            start = self.start
        lm = load(self.model, device=self.device, dtype=self.dtype, start=start, threads=self.threads)
        if self.dtype == "auto":
            note(lm.model.dtype_reason)
        return lm


@dataclass(frozen=True)
class TextOptions:
    """How texts are tokenised and conditioned."""

    panel: ClassVar = "Text"
    context: Annotated[str | None, Option("--context", "-c", help="The text before, which is not scored itself.")] = None
    end: Annotated[bool, Option("--end", help="Add the factor of the end symbol.")] = False
    special: Annotated[
        Reads | None,
        Option(
            help="How names of control symbols, such as <|endoftext|>, are read: as text, or as the symbols (parse). "
            "Default: as text, with a warning."
        ),
    ] = None
    context_special: Annotated[Reads | None, Option(help="The same for contexts. Default: that of --special.")] = None

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of the library, except the context."""
        return {"end": self.end or None, "special": self.special, "context_special": self.context_special}


@dataclass(frozen=True)
class InputOptions:
    """Files of texts, their format, and the rows to skip."""

    panel: ClassVar = "Input"
    file: Annotated[
        list[str] | None,
        Option(
            "--file",
            "-f",
            help="One text per line, or a table: .csv .tsv .jsonl .json .parquet .feather; - is stdin. May be repeated.",
        ),
    ] = None
    column: Annotated[str | None, Option(help="The column that holds the texts. Default: text.")] = None
    context_column: Annotated[str | None, Option(help="A column with each text's context.")] = None
    pair_column: Annotated[str | None, Option(help="A column with each text's second segment ([SEP]).")] = None
    form: Annotated[
        Form | None, Option("--format", help="The format of the input. Default: by the name of the file, or text.")
    ] = None
    encoding: Annotated[str | None, Option(help="The encoding of the input. Default: utf-8.")] = None
    quotes: Annotated[
        Quotes | None,
        Option("--quotes", help="CSV and TSV: whether quotes enclose cells (csv) or are part of the text (text)."),
    ] = None
    skip_empty: Annotated[bool, Option("--skip-empty", help="Skip empty lines and cells, which are otherwise an error.")] = (
        False
    )
    skip_bad: Annotated[
        bool, Option("--skip-bad", help="Skip rows that cannot be read or scored, and report their number.")
    ] = False
    begin: Annotated[
        int | None,
        Option("--from", min=0, help="The first row of the input to read, counted from 0, to continue a run that stopped."),
    ] = None

    def source(self, texts: list[str] | None = None, context: str | None = None) -> Source:
        """These texts, else those of the files, else those of standard input. Raises InputError."""
        from chainrule.cli.inputs import Columns, Layout, Source

        columns = Columns(self.column, self.context_column, self.pair_column)
        layout = Layout(self.form, self.encoding, self.quotes)
        return Source(texts or [], self.file or [], columns, layout, context, self.skip_empty, self.skip_bad, self.begin)

    def table_options(self) -> dict[str, Any]:
        """All options except --file, by their names on the command line, with "_" for "-"."""
        names = {"form": "format", "begin": "from"}
        return {names.get(name, name): value for name, value in asdict(self).items() if name != "file"}


@dataclass(frozen=True)
class OutputOptions:
    """Where results are written."""

    panel: ClassVar = "Output"
    output: Annotated[str | None, Option("--output", "-o", help="Write a .csv, .jsonl or .parquet file.")] = None
    json: Annotated[bool, Option("--json", help="JSON on standard output.")] = False

    def check(self) -> None:
        """Raises InputError if both are given."""
        if self.json and self.output is not None:
            raise InputError(
                "give --json or --output, not both: --json is for standard output, and the name of a file sets its format"
            )

    def sink(self, inputs: Sequence[str] = ()) -> Sink:
        """The sink for the results. inputs: files that must not be overwritten. Raises OutputError."""
        from chainrule.cli.sink import Sink

        return Sink(self.output, self.json, inputs)


@dataclass(frozen=True)
class OrderOptions:
    """The orders in which tokens are predicted."""

    order: Annotated[
        list[str] | None,
        Option(
            "--order",
            help="Predict the tokens in this order: 0,4,2,1,3, left-to-right, right-to-left, random. Several orders (random:8, "
            "or --order several times) are averaged.",
        ),
    ] = None
    seed: Annotated[int | None, Option(min=0, help="The seed of random orders. Default: 0.")] = None

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of the library. Raises InputError."""
        from chainrule.cli.inputs import parse_orders

        order = parse_orders(self.order)
        if self.seed is not None and not any(order.startswith("random") for order in self.order or []):
            raise InputError("--seed is for random orders: add --order random, or random:8")
        return {"order": order, "seed": self.seed or 0}


@dataclass(frozen=True)
class WindowOptions:
    """How texts longer than the model's context are scored."""

    window: Annotated[
        int | None, Option(help="The length of a window in tokens, for texts that are longer. Default: the model's context.")
    ] = None
    stride: Annotated[
        int | None, Option(help="Tokens from the start of one window to that of the next. Default: half a window.")
    ] = None
    no_window: Annotated[bool, Option("--no-window", help="Refuse texts longer than the model's context.")] = False

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of the library. Raises InputError."""
        if self.no_window:
            reject("is for windows, but --no-window is given", window=self.window, stride=self.stride)
        return {"window": False if self.no_window else self.window, "stride": self.stride}


@dataclass(frozen=True)
class GenerationOptions:
    """How the tokens of a generated text are chosen."""

    method: Annotated[str, Option(help="greedy, sample, beam, or best: exactly the most probable.")] = "greedy"
    n: Annotated[int | None, Option("--n", "-n", help="The number of texts.")] = None
    temperature: Annotated[float | None, Option(help="sample: Pr^(1/T), normalised.")] = None
    top_k: Annotated[int | None, Option(help="sample: only from the K most probable tokens.")] = None
    top_p: Annotated[float | None, Option(help="sample: only from the fewest tokens whose probabilities sum to P or more.")] = (
        None
    )
    min_p: Annotated[float | None, Option(help="sample: only from tokens at least P times as probable as the best.")] = None
    seed: Annotated[int | None, Option("--seed", help="sample: the seed; the same seed gives the same texts.")] = None
    num_beams: Annotated[int | None, Option(help="beam, best: the number of sequences kept. Default: 4.")] = None
    budget: Annotated[int | None, Option(help="best: the maximum number of contexts to compute. Default: 2000.")] = None
    order: Annotated[str | None, Option("--order", help="Predict the positions in this order, as in score.")] = None

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of the library, except the order."""
        return {name: value for name, value in asdict(self).items() if name != "order"}

    def ordering(self) -> Any:
        """The order as the library takes it. Raises InputError."""
        from chainrule.cli.inputs import parse_orders

        return parse_orders(None if self.order is None else [self.order])


@dataclass(frozen=True)
class StepOptions(OutputOptions):
    """Where results are written, and which steps and alternatives are shown."""

    explain: Annotated[bool, Option("--explain", help="Show every step as it happens.")] = False
    top: Annotated[
        int | None,
        Option("--top", min=0, help="With --explain or --json: the number of alternatives at each position. Default: 3."),
    ] = None
