"""The Typer application, and the decorator that adds a function to it as a command."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Collection
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from chainrule.cli import usage
from chainrule.cli.examples import EXAMPLES, START
from chainrule.cli.guard import guarded
from chainrule.cli.help import command_page, root_page
from chainrule.cli.option_groups import expand_groups
from chainrule.cli.output import note
from chainrule.cli.parameters import Parameter, parameters_of
from chainrule.errors import ChainruleError

SUMMARY = "The exact probability of token sequences under neural language models, factor by factor."
PANELS = ("Score texts", "Generate texts", "Models and checks")


class Command(TyperCommand):
    """A command with our pages of help. It rejects a repeated option unless the option takes several values."""

    @property
    def parameters(self) -> list[Parameter]:
        """Its arguments and options."""
        return parameters_of(self.callback) if self.callback else []

    def get_help(self, ctx: Any) -> str:
        """The page of help."""
        name = self.name or ""
        return command_page(name, self.summary, self.parameters, EXAMPLES.get(name, ()))

    @property
    def summary(self) -> str:
        """What it does, in one paragraph."""
        return " ".join((inspect.getdoc(self.callback) or "").split())

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Check the arguments before Typer converts them. Raises InputError, and Typer's own errors."""
        args = usage.spread(self, args)
        if not ctx.resilient_parsing and not {"-h", "--help"} & set(args[: args.index("--")] if "--" in args else args):
            try:
                values, left, order = self.make_parser(ctx).parse_args(list(args))
            except usage.UsageError as error:
                error.ctx = ctx  # not all of Typer's errors have it
                raise
            usage.check(self, args, values, left, order)
        return super().parse_args(ctx, args)


class Root(TyperGroup):
    """The program: a command for each main function. Every mistake is one line on standard error, and exit code 2."""

    def get_help(self, ctx: Any) -> str:
        """The page of help, with the commands in groups."""
        panels: dict[str, list[tuple[str, str]]] = {panel: [] for panel in PANELS}
        for name, command in sorted(self.commands.items(), key=lambda item: list(EXAMPLES).index(item[0])):
            if isinstance(command, Command):
                panels[str(command.rich_help_panel)].append((name, str(command.short_help)))
        return root_page(SUMMARY, panels, START)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that the first word names. Raises UsageError."""
        if args[0] not in self.commands and not args[0].startswith("-") and not ctx.resilient_parsing:
            ctx.fail(usage.no_command(args[0], self.commands))
        return super().resolve_command(ctx, args)

    def main(self, *arguments: Any, standalone_mode: bool = True, **options: Any) -> Any:
        """Run a command line, and exit."""
        if not standalone_mode:
            return super().main(*arguments, standalone_mode=False, **options)
        try:
            code = super().main(*arguments, standalone_mode=False, **options)
        except usage.UsageError as error:
            problem = usage.message(error)
        except ChainruleError as error:
            problem = str(error)
        else:
            sys.exit(code if isinstance(code, int) else 0)
        note(f"chainrule: {problem}")
        sys.exit(2)


app = typer.Typer(
    cls=Root,
    help=SUMMARY,
    add_completion=False,  # see `completion`
    pretty_exceptions_enable=False,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "default_map": {"help": False},  # without a default Typer imports Pydantic (0.05 s) to convert None
    },
)


@app.callback(invoke_without_command=True)
def root(ctx: typer.Context, version: Annotated[bool, typer.Option("--version", help="Print the versions.")] = False) -> None:
    """The exact probability of token sequences under neural language models, factor by factor."""
    if version:
        from chainrule.cli.versions import version_lines

        typer.echo("\n".join(version_lines()))
        raise typer.Exit
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


def command(
    panel: str, name: str | None = None, omit: Collection[str] = (), cls: type[Command] = Command
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add a function as a command. panel: its group in the help (PANELS). name: default: the function's.

    omit: options of its groups that are left out. cls: how its arguments are read.
    Raises ValueError for a panel that does not exist.
    """
    if panel not in PANELS:
        raise ValueError(f"there is no panel {panel!r}")
    return lambda function: app.command(name, cls=cls, rich_help_panel=panel, short_help=_first_sentence(function))(
        guarded(expand_groups(function, omit))
    )


def command_name(registered: Any) -> str:
    """The name of a registered command."""
    return registered.name or registered.callback.__name__.replace("_", "-")


def _first_sentence(function: Callable[..., None]) -> str:
    return " ".join((inspect.getdoc(function) or "").split()).split(". ")[0].rstrip(".") + "."
