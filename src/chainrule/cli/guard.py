"""A user's mistake is one clear line and exit code 2, never a traceback."""

from __future__ import annotations

import functools
import os
import sys
import warnings
from collections.abc import Callable
from typing import Any

import typer

from chainrule.errors import ChainruleError


def guarded(command: Callable[..., None]) -> Callable[..., None]:
    """Run a command; what it raises on purpose becomes a message on standard error."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        warnings.showwarning = _say_warning
        try:
            command(*args, **kwargs)
            sys.stdout.flush()
        except ChainruleError as error:
            raise _stop(str(error)) from None
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing more can be flushed into the pipe
            raise _stop("whoever read standard output stopped reading, so the rest was not written") from None
        except KeyboardInterrupt:
            typer.echo("chainrule: interrupted", err=True)
            raise typer.Exit(130) from None

    return run


def _stop(message: str) -> typer.Exit:
    typer.echo(f"chainrule: {message}", err=True)
    return typer.Exit(2)


def _say_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, file: Any = None, line: str | None = None
) -> None:
    if issubclass(category, UserWarning):
        typer.echo(f"chainrule: warning: {message}", err=True)
