"""chainrule lessons: the command."""

# Heavy imports are inside functions, after the arguments have been parsed.

from __future__ import annotations

from typing import Annotated

from typer import Argument, Option

from chainrule.cli.app import command
from chainrule.cli.options import ModelOptions
from chainrule.errors import InputError


@command("Score texts")
def lessons(
    *,
    text: Annotated[
        str | None, Argument(metavar="TEXT", help="The text that most lessons are about. Default: two short sentences.")
    ] = None,
    output: Annotated[str | None, Option("--output", "-o", metavar="PATH", help="The folder of the pages.")] = None,
    model: ModelOptions,
) -> None:
    """Write eight lessons on the chain rule. Each is one file with panels and exercises, which needs no network. The numbers
    come from the model, which must be causal. Files of these names in the folder are replaced."""
    from chainrule.cli.lessons import folder_of, write_lessons

    if output is None:
        raise InputError("give a folder for the lessons with --output")
    folder = folder_of(output)
    write_lessons(folder, model.load(), text)
