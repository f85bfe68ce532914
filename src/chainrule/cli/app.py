"""The Typer application, and the decorator that adds a function to it as a command."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Annotated, Any

import typer
from typer.completion import Shells, completion_init, get_completion_script, install
from typer.core import TyperCommand

from chainrule.cli.guard import guarded
from chainrule.cli.output import note
from chainrule.cli.spread import spread
from chainrule.errors import OutputError

app = typer.Typer(
    help="The exact probability of token sequences under neural language models, factor by factor.",
    no_args_is_help=True,
    add_completion=False,  # Typer's options take the shell that they find, and none that is named
    pretty_exceptions_enable=False,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "default_map": {"help": False},  # without a default Typer imports Pydantic (0.05 s) to convert None
    },
)


_NAMES = {"prog_name": "chainrule", "complete_var": "_CHAINRULE_COMPLETE"}
completion_init()  # the shells that may ask for completions


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
    show_completion: Annotated[Shells | None, typer.Option(help="Print the completion script of this shell and exit.")] = None,
    install_completion: Annotated[Shells | None, typer.Option(help="Install completion for this shell and exit.")] = None,
) -> None:
    """The exact probability of token sequences under neural language models, factor by factor."""
    if version:
        import chainrule

        typer.echo(chainrule.__version__)
    elif show_completion:
        typer.echo(get_completion_script(shell=show_completion, **_NAMES))
    elif install_completion:
        guarded(_install_completion)(install_completion)
    else:
        return
    raise typer.Exit


def _install_completion(shell: str) -> None:
    try:
        _, file = install(shell, **_NAMES)
    except (OSError, RuntimeError) as error:  # without a home folder, or one that can be written to
        raise OutputError(
            f"cannot install completion for {shell}: {error}; print it with --show-completion {shell} and keep it where "
            f"{shell} reads it"
        ) from error
    typer.echo(f"completion for {shell} is installed in {file}; open a new terminal to use it")


class Once(TyperCommand):
    """A command that rejects a repeated option unless the option takes several values. Typer would ignore all but the last."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        _, _, given = self.make_parser(ctx).parse_args(list(args))
        for option in set(given):
            takes_one = option.param_type_name == "option" and not option.multiple and not getattr(option, "is_flag", False)
            if takes_one and given.count(option) > 1:
                note(f"chainrule: {option.opts[0]} is given {given.count(option)} times, but takes one value")
                raise typer.Exit(2)
        return super().parse_args(ctx, args)


def command(name: str | None = None, omit: Collection[str] = ()) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Adds a function as a command. name: default: that of the function; omit: options of its groups that it does not take."""
    return lambda function: app.command(name, cls=Once)(guarded(spread(function, omit)))
