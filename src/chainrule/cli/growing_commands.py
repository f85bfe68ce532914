"""The commands that grow texts: generate and infill."""

# Heavy imports wait until the arguments have been read.

from __future__ import annotations

from typing import Annotated, Optional

import typer

from chainrule.cli.app import check_output, command, load
from chainrule.cli.options import (
    Beams,
    Budget,
    Device,
    Draw,
    Dtype,
    GrowingOrder,
    Json,
    Method,
    MinP,
    Model,
    Output,
    Samples,
    Shown,
    Special,
    Start,
    Steps,
    Temperature,
    Threads,
    TopK,
    TopP,
)


@command()
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
    top: Shown = None,
    output: Output = None,
    json: Json = False,
    model: Model = None,
    start: Start = "auto",
    special: Special = None,
    dtype: Dtype = "float32",
    device: Device = "cpu",
    threads: Threads = None,
) -> None:
    """Grow a text behind a context, token by token, and say how probable it is."""
    from chainrule.cli.growing import Growing
    from chainrule.cli.inputs import orders

    check_output(json, output)
    numbers = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "min_p": min_p, "seed": draw}
    limits = {"length": length, "samples": samples, "beams": beams, "budget": budget, "stop": stop or (), "top": top}
    end = False if no_end else None
    Growing(explain, json, output).run(
        lambda: load(model, device, dtype, start, threads),
        lambda lm, **how: lm.generate(
            context or None, end=end, among=among, order=orders(None if order is None else [order]), special=special, **how
        ),
        numbers | limits | {"method": method},
    )


@command()
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
    top: Shown = None,
    output: Output = None,
    json: Json = False,
    model: Model = None,
    start: Start = "auto",
    special: Special = None,
    dtype: Dtype = "float32",
    device: Device = "cpu",
    threads: Threads = None,
) -> None:
    """Fill the blanks of a text, given all the rest, by a model that predicts in any order."""
    from chainrule.cli.growing import Growing
    from chainrule.cli.inputs import numbers, orders

    check_output(json, output)
    sampling = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "min_p": min_p, "seed": draw}
    limits = {"samples": samples, "beams": beams, "budget": budget, "top": top}
    sizes = None if lengths is None else numbers(lengths, "--lengths")
    Growing(explain, json, output).run(
        lambda: load(model, device, dtype, start, threads),
        lambda lm, **how: lm.infill(template, sizes, order=orders(None if order is None else [order]), special=special, **how),
        sampling | limits | {"method": method},
    )
