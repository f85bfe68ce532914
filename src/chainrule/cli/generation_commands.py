"""The commands that generate text: generate and infill."""

# Heavy imports are inside functions, after the arguments have been parsed.

from __future__ import annotations

from typing import Annotated

from typer import Argument, Option

from chainrule.cli.app import command
from chainrule.cli.generation_options import GenerationOptions, StepOptions
from chainrule.cli.options import ModelOptions, TextOptions


@command("Generate texts", omit=["context", "end", "context_special"])
def generate(
    *,
    context: Annotated[str, Argument(metavar="CONTEXT", help="The text before. Default: none.")] = "",
    max_tokens: Annotated[
        int | None, Option(min=1, metavar="N", help="The maximum number of tokens. Default: 64, or as many as fit.")
    ] = None,
    stop: Annotated[list[str] | None, Option(metavar="TEXT", help="A text to stop at; may be repeated.")] = None,
    no_end: Annotated[bool, Option("--no-end", help="Do not stop at the end symbol.")] = False,
    among: Annotated[
        list[str] | None, Option(metavar="TEXT", help="Choose one of these texts instead; may be repeated.")
    ] = None,
    generation: GenerationOptions,
    texts: TextOptions,
    outputs: StepOptions,
    model: ModelOptions,
) -> None:
    """Generate a text after a context, with its log probability."""
    outputs.check()
    model.check()
    from chainrule.cli.generation import run_generation

    options = generation.arguments() | {"max_tokens": max_tokens, "stop": stop or ()}
    arguments = {"end": False if no_end else None, "among": among, "order": generation.ordering(), "special": texts.special}
    run_generation(model.load, lambda lm, **kwargs: lm.generate(context or None, **arguments, **kwargs), options, outputs)


@command("Generate texts", omit=["context", "end", "context_special"])
def infill(
    *,
    template: Annotated[str, Argument(metavar="TEMPLATE", help='A text with blanks: "The ____ sat on the ____".')],
    lengths: Annotated[
        str | None, Option(metavar="N,N", help="The number of tokens in each blank, such as 1,2. Default: 1 each.")
    ] = None,
    generation: GenerationOptions,
    texts: TextOptions,
    outputs: StepOptions,
    model: ModelOptions,
) -> None:
    """Fill the blanks of a text, given the rest of it. The model must predict in any order: masked models do."""
    from chainrule.cli.option_values import parse_numbers

    outputs.check()
    counts = None if lengths is None else parse_numbers(lengths, "--lengths")
    model.check()
    from chainrule.cli.generation import run_generation

    options = generation.arguments()
    arguments = {"order": generation.ordering(), "special": texts.special}
    run_generation(model.load, lambda lm, **kwargs: lm.infill(template, counts, **arguments, **kwargs), options, outputs)
