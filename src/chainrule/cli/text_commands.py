"""The commands about texts that are given: score, rank, next, explain, pseudo."""

# Heavy imports wait until the arguments have been read.

from __future__ import annotations

from typing import Annotated, Optional

import typer

from chainrule.cli.app import check_output, command, exclusive, load
from chainrule.cli.options import (
    Begin,
    Column,
    Context,
    ContextColumn,
    ContextSpecial,
    Device,
    Dtype,
    Encoding,
    End,
    Files,
    Format,
    Json,
    Model,
    NoWindow,
    Order,
    Output,
    Per,
    Quoting,
    Seed,
    SkipBad,
    SkipEmpty,
    Special,
    Start,
    Stride,
    Texts,
    Threads,
    Window,
)
from chainrule.errors import InputError


@command()
def score(
    text: Texts = None,
    file: Files = None,
    column: Column = None,
    context_column: ContextColumn = None,
    pair_column: Annotated[Optional[str], typer.Option(help="A column with each text's second segment ([SEP]).")] = None,  # noqa: UP045
    context: Context = None,
    per: Annotated[
        Optional[Per],  # noqa: UP045
        typer.Option(help="One row a sequence or a token; with several orders a text, order or token."),
    ] = None,
    order: Order = None,
    seed: Seed = None,
    top: Annotated[int, typer.Option(min=0, help="Keep the K most probable tokens in each place.")] = 0,
    form: Format = None,
    encoding: Encoding = None,
    quotes: Quoting = None,
    skip_empty: SkipEmpty = False,
    skip_bad: SkipBad = False,
    begin: Begin = None,
    output: Output = None,
    json: Json = False,
    model: Model = None,
    start: Start = "auto",
    end: End = False,
    special: Special = None,
    context_special: ContextSpecial = None,
    window: Window = None,
    stride: Stride = None,
    no_window: NoWindow = False,
    dtype: Dtype = "float32",
    device: Device = "cpu",
    threads: Threads = None,
) -> None:
    """log Pr of texts: the sum, and every factor of it."""
    from chainrule.cli.inputs import Columns, Layout, Source, orders
    from chainrule.cli.scoring import check_per, score_stream
    from chainrule.cli.sink import Sink
    from chainrule.forest.permutations import is_several

    check_output(json, output)
    asked = orders(order)
    several = is_several(asked)
    _check_seed(seed, order)
    if no_window:
        exclusive("is for windows, and --no-window refuses them", window=window, stride=stride)
    check_per(per, several)
    columns, layout = Columns(column, context_column, pair_column), Layout(form, encoding, quotes)
    source = Source(text or [], file or [], columns, layout, context, skip_empty, skip_bad, begin)
    options = {"end": end or None, "top": top, "window": False if no_window else window, "stride": stride}
    options |= {"order": asked, "seed": seed or 0, "special": special, "context_special": context_special}
    with Sink(output, json, source.files) as sink:
        score_stream(lambda: load(model, device, dtype, start, threads), source, sink, per, options)


@command()
def rank(
    context: Annotated[str, typer.Argument(help="What stands before.")],
    candidate: Annotated[Optional[list[str]], typer.Argument(help="Candidates; none: standard input, one a line.")] = None,  # noqa: UP045
    file: Files = None,
    column: Column = None,
    form: Format = None,
    encoding: Encoding = None,
    quotes: Quoting = None,
    skip_empty: SkipEmpty = False,
    skip_bad: SkipBad = False,
    output: Output = None,
    json: Json = False,
    model: Model = None,
    start: Start = "auto",
    end: End = False,
    special: Special = None,
    context_special: ContextSpecial = None,
    dtype: Dtype = "float32",
    device: Device = "cpu",
    threads: Threads = None,
) -> None:
    """Candidates behind a context, best first: log Pr(candidate | context)."""
    from chainrule.cli.inputs import Columns, Layout, Source
    from chainrule.cli.scoring import rank_all
    from chainrule.cli.sink import Sink

    check_output(json, output)
    layout = Layout(form, encoding, quotes)
    source = Source(candidate or [], file or [], Columns(column), layout, None, skip_empty, skip_bad)
    options = {"end": end or None, "special": special, "context_special": context_special}
    with Sink(output, json, source.files) as sink:
        rank_all(lambda: load(model, device, dtype, start, threads), context, source, sink, options)


@command("next")
def next_(
    context: Annotated[str, typer.Argument(help="What stands before; may be empty.")] = "",
    top: Annotated[int, typer.Option(min=1, help="How many tokens to show.")] = 10,
    json: Json = False,
    model: Model = None,
    start: Start = "auto",
    special: Special = None,
    dtype: Dtype = "float32",
    device: Device = "cpu",
    threads: Threads = None,
) -> None:
    """The distribution of the token that comes next."""
    from chainrule.cli.scoring import show_conditional

    lm = load(model, device, dtype, start, threads)
    show_conditional(lm.conditional(context or None, special=special), top, json)


@command()
def explain(
    text: Annotated[str, typer.Argument(help="The text.")],
    context: Context = None,
    order: Order = None,
    seed: Seed = None,
    json: Json = False,
    model: Model = None,
    start: Start = "auto",
    end: End = False,
    special: Special = None,
    context_special: ContextSpecial = None,
    dtype: Dtype = "float32",
    device: Device = "cpu",
    threads: Threads = None,
) -> None:
    """Every factor written out: Pr(x_2 | e_0, e_1) = 0.083 …, with the running product."""
    from chainrule.cli.inputs import orders
    from chainrule.cli.output import tell

    _check_seed(seed, order)
    options = {"context": context, "end": end or None, "order": orders(order), "seed": seed or 0}
    options |= {"special": special, "context_special": context_special}
    tell(load(model, device, dtype, start, threads).explain(text, **options), json)


@command()
def pseudo(
    text: Texts = None,
    file: Files = None,
    column: Column = None,
    context_column: ContextColumn = None,
    context: Context = None,
    within_words: Annotated[
        bool, typer.Option("--within-words", help="Hide the tokens to the right within the same word as well.")
    ] = False,
    form: Format = None,
    encoding: Encoding = None,
    quotes: Quoting = None,
    skip_empty: SkipEmpty = False,
    skip_bad: SkipBad = False,
    begin: Begin = None,
    output: Output = None,
    json: Json = False,
    model: Model = None,
    special: Special = None,
    context_special: ContextSpecial = None,
    dtype: Dtype = "float32",
    device: Device = "cpu",
    threads: Threads = None,
) -> None:
    """Pseudo-log-likelihood: each token given all others, by a masked model. A score, and no probability."""
    from chainrule.cli.inputs import Columns, Layout, Source
    from chainrule.cli.pseudo import pseudo_stream
    from chainrule.cli.sink import Sink

    check_output(json, output)
    layout = Layout(form, encoding, quotes)
    source = Source(text or [], file or [], Columns(column, context_column), layout, context, skip_empty, skip_bad, begin)
    options = {"within_words": within_words, "special": special, "context_special": context_special}
    with Sink(output, json, source.files) as sink:
        pseudo_stream(lambda: load(model, device, dtype, "auto", threads), source, sink, options)


def _check_seed(seed: int | None, order: list[str] | None) -> None:
    if seed is not None and not any(each.startswith("random") for each in order or []):
        raise InputError("--seed is for random orders: add --order random, or random:8")
