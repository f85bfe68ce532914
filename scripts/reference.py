"""Reference pages generated from the code: every command with its options, and every column of every result."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, get_args, get_origin

from typer.models import ArgumentInfo


def columns_reference() -> str:
    """Every column of every kind of row."""
    from chainrule.results.schema import reference

    return reference()


def commands_reference() -> str:
    """Every command: its usage, its arguments and its options."""
    from chainrule.cli.main import app

    commands = {info.name or str(getattr(info.callback, "__name__", "")): info.callback for info in app.registered_commands}
    return "\n\n".join(_command(name, function) for name, function in sorted(commands.items()) if function)


def _command(name: str, function: Callable[..., Any]) -> str:
    params = [Parameter.of(p) for p in inspect.signature(function).parameters.values()]
    arguments = [p for p in params if not p.option]
    usage = " ".join(["chainrule", name, *(p.spelled for p in arguments), "[OPTIONS]"])
    parts = [f"## {name}", inspect.getdoc(function) or "", f"```text\n{usage}\n```"]
    for kind, rows in (("argument", arguments), ("option", [p for p in params if p.option])):
        if rows:
            parts.append("\n".join([f"| {kind} | meaning |", "|---|---|", *(p.row() for p in rows)]))
    return "\n\n".join(parts)


@dataclass(frozen=True)
class Parameter:
    """An argument or an option of a command: its spelling and its meaning."""

    option: bool
    spelled: str
    help: str

    @classmethod
    def of(cls, parameter: inspect.Parameter) -> Parameter:
        """From the parameter of a Typer command and its annotation."""
        kind, (info,) = parameter.annotation.__origin__, parameter.annotation.__metadata__
        kinds = [each for each in get_args(kind) or (kind,) if each is not type(None)]
        several = kinds[0] if get_origin(kinds[0]) is list else None
        kind, required = (get_args(several)[0] if several else kinds[0]), parameter.default is inspect.Parameter.empty
        if isinstance(info, ArgumentInfo):
            name = (info.metavar or parameter.name.upper()).strip("[]") + ("…" if several else "")
            return cls(False, name if required else f"[{name}]", info.help or "")
        names = [each for each in (info.default, *(info.param_decls or ())) if isinstance(each, str)]  # `default` has the first
        long, *short = names or [f"--{parameter.name.replace('_', '-')}"]
        spelled = "` `".join([long if kind is bool else f"{long} {_value(kind)}", *short])
        return cls(True, spelled, _with_default((info.help or "") + _choices(kind), parameter.default))

    def row(self) -> str:
        """The row of a table."""
        return f"| `{self.spelled}` | {_escaped(self.help)} |"


def _value(kind: Any) -> str:
    return {int: "N", float: "X"}.get(kind, "TEXT")


def _choices(kind: Any) -> str:
    return f" One of {', '.join(str(member.value) for member in kind)}." if issubclass(kind, Enum) else ""


def _with_default(text: str, default: Any) -> str:
    plain = isinstance(default, str | int) and not isinstance(default, bool) and "Default" not in text
    return f"{text} Default: {default}." if plain else text


def _escaped(text: str) -> str:
    return re.sub(r"([\\|<*\[_])", r"\\\1", text)
