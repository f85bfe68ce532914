"""The entry point of the chainrule command, with all commands registered."""

from __future__ import annotations

from chainrule.cli import comparison, completion, generation_commands, model_commands, text_commands  # noqa: F401 (commands)
from chainrule.cli.app import app
from chainrule.cli.output import prepare
from chainrule.cli.waiting import choose_waiting


def main() -> None:
    """Run the command line of this process."""
    prepare()
    choose_waiting()
    app(prog_name="chainrule")


if __name__ == "__main__":
    main()
