"""The chainrule command with all commands of this package registered; `chainrule.program` adds those of other surfaces."""

from __future__ import annotations

import os
import sys

from typer.models import CommandInfo

from chainrule.cli import (  # noqa: F401 (they register commands)
    choose_command,
    comparison,
    completion,
    doctor_command,
    generation_commands,
    lessons_command,
    model_commands,
    page_command,
    pairs_command,
    suite_command,
    text_commands,
    words_command,
)
from chainrule.cli.app import app, command_name
from chainrule.cli.imports import claim
from chainrule.cli.output import prepare
from chainrule.cli.waiting import choose_waiting


def main() -> None:
    """Run the command line of this process."""
    claim()
    prepare()
    choose_waiting()
    every = list(app.registered_commands)
    app.registered_commands[:] = _called(every, sys.argv[1:2])
    try:
        app(prog_name="chainrule")
    finally:
        app.registered_commands[:] = every


def _called(every: list[CommandInfo], name: list[str]) -> list[CommandInfo]:
    """The command that the first word names, or else all commands: Typer prepares the options of each that it has."""
    called = [each for each in every if [command_name(each)] == name]
    return called if called and not any(variable.endswith("_COMPLETE") for variable in os.environ) else every


if __name__ == "__main__":
    main()
