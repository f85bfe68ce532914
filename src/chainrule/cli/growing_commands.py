"""The commands that grow texts: generate and infill."""

# Heavy imports wait until the arguments have been read.

from __future__ import annotations

from typing import Annotated

from typer import Argument, Option

from chainrule.cli.app import command
from chainrule.cli.options import GrowthOptions, ModelOptions, StepOptions, TextOptions


@command(omit=["context", "end", "context_special"])
def generate(
    *,
    context: Annotated[str, Argument(help="What stands before; may be empty.")] = "",
    length: Annotated[int | None, Option(help="The most tokens. Default: 64, or what there is room for.")] = None,
    stop: Annotated[list[str] | None, Option(help="A text to stop at; may be repeated.")] = None,
    no_end: Annotated[bool, Option("--no-end", help="Do not stop at the end symbol.")] = False,
    among: Annotated[list[str] | None, Option(help="Choose among these texts instead; may be repeated.")] = None,
    growth: GrowthOptions,
    texts: TextOptions,
    outputs: StepOptions,
    model: ModelOptions,
) -> None:
    """Grow a text behind a context, token by token, and say how probable it is."""
    from chainrule.cli.growing import Growing

    outputs.check()
    options = growth.arguments() | {"length": length, "stop": stop or (), "top": outputs.top}
    fixed = {"end": False if no_end else None, "among": among, "order": growth.ordering(), "special": texts.special}
    growing = Growing(outputs.explain, outputs.json, outputs.output)
    growing.run(model.load, lambda lm, **how: lm.generate(context or None, **fixed, **how), options)


@command(omit=["context", "end", "context_special"])
def infill(
    *,
    template: Annotated[str, Argument(help='A text with blanks: "The ____ sat on the ____".')],
    lengths: Annotated[str | None, Option(help="How many tokens each blank takes, such as 1,2. Default: one each.")] = None,
    growth: GrowthOptions,
    texts: TextOptions,
    outputs: StepOptions,
    model: ModelOptions,
) -> None:
    """Fill the blanks of a text, given all the rest, by a model that predicts in any order."""
    from chainrule.cli.growing import Growing
    from chainrule.cli.inputs import numbers

    outputs.check()
    sizes = None if lengths is None else numbers(lengths, "--lengths")
    options = growth.arguments() | {"top": outputs.top}
    fixed = {"order": growth.ordering(), "special": texts.special}
    growing = Growing(outputs.explain, outputs.json, outputs.output)
    growing.run(model.load, lambda lm, **how: lm.infill(template, sizes, **fixed, **how), options)
