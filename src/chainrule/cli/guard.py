"""Errors of a command, reported as one line on standard error and an exit code, without a traceback."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

import typer

from chainrule.cli.output import OUT, note
from chainrule.cli.parameters import parameters_of
from chainrule.cli.signals import Interrupted, interruptible
from chainrule.cli.spelling import as_options
from chainrule.errors import ChainruleError


def guarded(command: Callable[..., None]) -> Callable[..., None]:
    """The command with exit code 2 for a ChainruleError, and 128 plus the number of the signal for an interrupt.

    In messages and warnings, arguments of the library are spelled as the options of this command.
    """

    def spelled(message: object) -> str:
        return as_options(str(message), parameters_of(command))

    def show_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        if issubclass(category, UserWarning):
            note(f"chainrule: warning: {spelled(message)}")

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        previous, warnings.showwarning = warnings.showwarning, show_warning
        try:
            with interruptible():
                try:
                    command(*args, **kwargs)
                finally:
                    OUT.flush()
        except ChainruleError as error:
            raise _exit(error, spelled(error), 2) from None
        except KeyboardInterrupt as error:
            raise _exit(error, "interrupted", 128 + (error.number if isinstance(error, Interrupted) else 2)) from None
        finally:
            warnings.showwarning = previous

    return run


def _exit(error: BaseException, message: str, code: int) -> typer.Exit:
    note(". ".join([f"chainrule: {message}".rstrip("."), *getattr(error, "__notes__", ())]))
    return typer.Exit(code)
