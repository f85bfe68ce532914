"""The error for options that contradict others."""

from __future__ import annotations

from typing import Any

from chainrule.errors import InputError


def reject(reason: str, **options: Any) -> None:
    """Raises InputError for the first of these options that is set. Names are as on the command line, with "_" for "-"."""
    for name, value in options.items():
        if value is not None and value is not False:
            raise InputError(f"--{name.strip('_').replace('_', '-')} {reason}")
