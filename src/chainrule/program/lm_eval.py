"""chainrule lm-eval: the command line of lm-evaluation-harness, with chainrule as a model."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from chainrule.cli.app import Command, command
from chainrule.cli.imports import release
from chainrule.errors import InputError, require


class PassedOn(Command):
    """A command whose arguments are another program's. Only a first argument -h or --help asks for our page."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """All words as they are."""
        return super().parse_args(ctx, args if args[:1] in ([], ["-h"], ["--help"]) else ["--", *args])


@command("Score texts", "lm-eval", cls=PassedOn)
def lm_eval(
    arguments: Annotated[
        list[str], typer.Argument(metavar="ARGUMENT", help="Arguments of lm_eval: run … (the default), ls … or validate ….")
    ],
) -> None:
    """Run lm-evaluation-harness with chainrule as a model. All arguments are passed on to lm_eval unchanged;
    chainrule lm-eval run --help lists them. --model_args takes pretrained, dtype, device, start, max_length, adapter and
    windows. Needs the extra lm-eval."""
    require("lm-eval", "lm-eval", InputError)
    release()
    from lm_eval.__main__ import cli_evaluate

    import chainrule.evaluation.lm_eval  # noqa: F401 (it registers the model)

    own, sys.argv = sys.argv, ["lm-eval", *arguments]
    try:
        cli_evaluate()
    finally:
        sys.argv = own
