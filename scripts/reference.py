"""Reference pages generated from the code: every command with its options, and every column of every result."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

from chainrule.cli.parameters import Parameter, parameters_of


def columns_reference() -> str:
    """Every column of every kind of row."""
    from chainrule.results.column_reference import reference

    return reference()


def commands_reference() -> str:
    """Every command: its usage, its arguments and its options, and examples."""
    from chainrule.cli.examples import EXAMPLES
    from chainrule.program import app

    commands = {info.name or str(getattr(info.callback, "__name__", "")): info.callback for info in app.registered_commands}
    return "\n\n".join(_command(name, function, EXAMPLES[name]) for name, function in sorted(commands.items()) if function)


def _command(name: str, function: Callable[..., Any], examples: tuple[str, ...]) -> str:
    params = parameters_of(function)
    arguments = [p for p in params if not p.names]
    usage = " ".join(["chainrule", name, *(p.spelled for p in arguments), "[OPTIONS]"])
    parts = [f"## {name}", inspect.getdoc(function) or "", f"```text\n{usage}\n```"]
    for kind, rows in (("argument", arguments), ("option", [p for p in params if p.names])):
        if rows:
            parts.append("\n".join([f"| {kind} | meaning |", "|---|---|", *map(_row, rows)]))
    parts.append("\n".join(["```console", *(f"$ {example}" for example in examples), "```"]))
    return "\n\n".join(parts)


def _row(parameter: Parameter) -> str:
    text = re.sub(r"([\\|<*\[_])", r"\\\1", parameter.help)
    spelled = parameter.spelled.replace("|", r"\|")
    return f"| `{spelled}` | {text} |"
