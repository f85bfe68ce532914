"""The Typer application, and the decorator that adds a function to it as a command."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from chainrule.cli.guard import guarded
from chainrule.cli.option_groups import expand_groups
from chainrule.cli.output import note

app = typer.Typer(
    help="The exact probability of token sequences under neural language models, factor by factor.",
    no_args_is_help=True,
    add_completion=False,  # see `completion`
    pretty_exceptions_enable=False,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "default_map": {"help": False},  # without a default Typer imports Pydantic (0.05 s) to convert None
    },
)


@app.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    """The exact probability of token sequences under neural language models, factor by factor."""
    if version:
        import chainrule

        typer.echo(chainrule.__version__)
        raise typer.Exit


class StrictCommand(TyperCommand):
    """A command that rejects a repeated option unless the option takes several values. Typer would ignore all but the last."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        _, _, options = self.make_parser(ctx).parse_args(list(args))
        for option in set(options):
            takes_one = option.param_type_name == "option" and not option.multiple and not getattr(option, "is_flag", False)
            if takes_one and options.count(option) > 1:
                note(f"chainrule: {option.opts[0]} is given {options.count(option)} times, but takes one value")
                raise typer.Exit(2)
        return super().parse_args(ctx, args)


def command(name: str | None = None, omit: Collection[str] = ()) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add a function as a command. name: default: the function's. omit: options of its groups that are left out."""
    return lambda function: app.command(name, cls=StrictCommand)(guarded(expand_groups(function, omit)))
