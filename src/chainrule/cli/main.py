"""The chainrule command with all commands of this package registered; `chainrule.program` adds those of other surfaces."""

from __future__ import annotations

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
from chainrule.cli.app import app
from chainrule.cli.imports import claim
from chainrule.cli.output import prepare
from chainrule.cli.waiting import choose_waiting


def main() -> None:
    """Run the command line of this process."""
    claim()
    prepare()
    choose_waiting()
    app(prog_name="chainrule")


if __name__ == "__main__":
    main()
