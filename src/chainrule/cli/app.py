"""The application, how its commands are made, and how they load a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.completion import Shells, completion_init, get_completion_script, install
from typer.core import TyperCommand

from chainrule.cli.guard import guarded
from chainrule.cli.output import note
from chainrule.errors import InputError, OutputError

if TYPE_CHECKING:
    from chainrule.language import LanguageModel

app = typer.Typer(
    help="The exact probability of token sequences under neural language models, factor by factor.",
    no_args_is_help=True,
    add_completion=False,  # Typer's options take the shell that they find, and none that is named
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


_NAMES = {"prog_name": "chainrule", "complete_var": "_CHAINRULE_COMPLETE"}
completion_init()  # the shells that may ask for completions


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False,
    show_completion: Annotated[Shells | None, typer.Option(help="Print the completion script of this shell and leave.")] = None,
    install_completion: Annotated[Shells | None, typer.Option(help="Install completion for this shell and leave.")] = None,
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
    """A command that takes no option twice which has one value: the first would be ignored."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        _, _, given = self.make_parser(ctx).parse_args(list(args))
        for option in set(given):
            single = option.param_type_name == "option" and not option.multiple and not getattr(option, "is_flag", False)
            if single and given.count(option) > 1:
                note(f"chainrule: {option.opts[0]} is given {given.count(option)} times, and takes one value")
                raise typer.Exit(2)
        return super().parse_args(ctx, args)


def command(name: str | None = None) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Makes a function a command, under its own name where none is given."""
    return lambda function: app.command(name, cls=Once)(guarded(function))


def load(model: str | None, device: str, dtype: str, start: str, threads: int | None) -> LanguageModel:
    """The model that the options name."""
    from chainrule.loading import load as read

    try:
        policy: str | int = int(start)
    except ValueError:
        policy = start
    lm = read(model, device=device, dtype=dtype, start=policy, threads=threads)
    if dtype == "auto":
        note(lm.model.dtype_reason)
    return lm


def check_output(json: bool, output: str | None) -> None:
    """Raises InputError for two places to write to."""
    if json and output is not None:
        raise InputError("give --json or --output, not both: --json goes to standard output, and a file's name says its format")


def exclusive(why: str, **options: Any) -> None:
    """Raises InputError for the first of these options that is given. Their names are those on the command line, with "_"."""
    for name, value in options.items():
        if value is not None and value is not False:
            raise InputError(f"--{name.strip('_').replace('_', '-')} {why}")
