"""The chainrule command with all commands of this package registered; `chainrule.program` adds those of other surfaces."""

from __future__ import annotations

import os
import sys

from chainrule.cli import (  # noqa: F401 (they register commands)
    choose_command,
    comparison,
    completion,
    doctor_command,
    generation_commands,
    model_commands,
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
    _keep_only(sys.argv[1:2])
    app(prog_name="chainrule")


def _keep_only(name: list[str]) -> None:
    """Leave the other commands out if the first word is a command: Typer would prepare all their options."""
    called = [each for each in app.registered_commands if [command_name(each)] == name]
    if called and not any(variable.endswith("_COMPLETE") for variable in os.environ):
        app.registered_commands[:] = called


if __name__ == "__main__":
    main()
