"""The options that commands share."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Optional

import typer


class Per(StrEnum):
    """What one row of output stands for."""

    sequence = "sequence"
    text = "text"
    order = "order"
    token = "token"


class Form(StrEnum):
    """How a file is laid out."""

    text = "text"
    csv = "csv"
    tsv = "tsv"
    jsonl = "jsonl"
    json = "json"
    parquet = "parquet"
    arrow = "arrow"


class Quotes(StrEnum):
    """What a quote at the begin of a cell is."""

    csv = "csv"
    text = "text"


class Reads(StrEnum):
    """How the name of a control symbol in a text is read."""

    text = "text"
    parse = "parse"


Model = Annotated[
    Optional[str],  # noqa: UP045 (read by Typer at run time)
    typer.Option("--model", "-m", help="A packaged model, a model folder, a .gguf file or a hub id. Default: smollm2-135m."),
]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1 …")]
Dtype = Annotated[str, typer.Option(help="float32, bfloat16, float16, float64, or auto: bfloat16 where the machine has it.")]
Threads = Annotated[Optional[int], typer.Option(min=1, help="Threads to compute with. Default: the cores it may use.")]  # noqa: UP045
Start = Annotated[str, typer.Option(help="What x_0 is conditioned on: auto, bos, eos, given, or a token id.")]
End = Annotated[bool, typer.Option("--end", help="Add the factor of the end symbol.")]
Json = Annotated[bool, typer.Option("--json", help="JSON on standard output.")]
Context = Annotated[Optional[str], typer.Option("--context", "-c", help="A text that stands before and is given.")]  # noqa: UP045
Special = Annotated[
    Optional[Reads],  # noqa: UP045
    typer.Option(help="Names of control symbols, as <|endoftext|>: plain text (with a warning, if not asked), or the symbols."),
]
ContextSpecial = Annotated[Optional[Reads], typer.Option(help="The same in contexts. Default: as --special.")]  # noqa: UP045
Window = Annotated[Optional[int], typer.Option(help="Score texts longer than this in windows. Default: the model's context.")]  # noqa: UP045
Stride = Annotated[Optional[int], typer.Option(help="Tokens a window moves on by. Default: half a window.")]  # noqa: UP045
NoWindow = Annotated[bool, typer.Option("--no-window", help="Refuse texts longer than the model's context.")]
Texts = Annotated[Optional[list[str]], typer.Argument(help="Texts; none: standard input, one a line.")]  # noqa: UP045
Files = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option(
        "--file",
        "-f",
        help="One text a line, or a table: .csv .tsv .jsonl .json .parquet .feather; - is stdin. May be repeated.",
    ),
]
Column = Annotated[Optional[str], typer.Option(help="The column that holds the texts. Default: text.")]  # noqa: UP045
ContextColumn = Annotated[Optional[str], typer.Option(help="A column with each text's context.")]  # noqa: UP045
Format = Annotated[Optional[Form], typer.Option("--format", help="How the input is laid out, where its name does not tell.")]  # noqa: UP045
Encoding = Annotated[Optional[str], typer.Option(help="Of text that is read. Default: utf-8.")]  # noqa: UP045
Quoting = Annotated[Optional[Quotes], typer.Option("--quotes", help="CSV and TSV: whether quotes enclose cells, or are text.")]  # noqa: UP045
SkipEmpty = Annotated[bool, typer.Option("--skip-empty", help="Leave out empty lines and cells, which are an error otherwise.")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave out rows that cannot be read or scored, and say how many.")]
Begin = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option("--from", min=0, help="Begin with this row of the input, counted from 0, to go on after a run that ended."),
]
Order = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option(
        "--order",
        help="Predict the tokens in this order: 0,4,2,1,3, left-to-right, right-to-left, random. Several (random:8, or --order "
        "again and again) are averaged.",
    ),
]
Seed = Annotated[Optional[int], typer.Option(min=0, help="Of random orders. Default: 0.")]  # noqa: UP045
Output = Annotated[Optional[str], typer.Option("--output", "-o", help="Write a .csv, .jsonl or .parquet file.")]  # noqa: UP045

Method = Annotated[str, typer.Option(help="greedy, sample, beam, or best: exactly the most probable.")]
Samples = Annotated[Optional[int], typer.Option("--samples", "-n", help="How many texts.")]  # noqa: UP045
Temperature = Annotated[Optional[float], typer.Option(help="sample: Pr^(1/T), normalised.")]  # noqa: UP045
TopK = Annotated[Optional[int], typer.Option(help="sample: from the K most probable tokens.")]  # noqa: UP045
TopP = Annotated[Optional[float], typer.Option(help="sample: from the fewest tokens that reach P together.")]  # noqa: UP045
MinP = Annotated[Optional[float], typer.Option(help="sample: from tokens P times as probable as the best.")]  # noqa: UP045
Draw = Annotated[Optional[int], typer.Option("--seed", help="sample: the same seed, the same texts.")]  # noqa: UP045
Beams = Annotated[Optional[int], typer.Option(help="beam, best: sequences kept open. Default: 4.")]  # noqa: UP045
Budget = Annotated[Optional[int], typer.Option(help="best: the most contexts to compute. Default: 2000.")]  # noqa: UP045
GrowingOrder = Annotated[Optional[str], typer.Option("--order", help="Fill the places in this order, as in score.")]  # noqa: UP045
Steps = Annotated[bool, typer.Option("--explain", help="Show every step as it happens.")]
Shown = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option("--top", min=0, help="With --explain or --json: alternatives shown in each place. Default: 3."),
]
