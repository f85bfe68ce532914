"""chainrule score | rank | next | explain | pseudo | generate | infill | verify | pull | models."""

from __future__ import annotations

from chainrule.cli import growing_commands, model_commands, text_commands  # noqa: F401 (each adds its commands)
from chainrule.cli.app import app
from chainrule.cli.output import prepare


def main() -> None:
    """The entry point."""
    prepare()
    app(prog_name="chainrule")


if __name__ == "__main__":
    main()
