"""The parameters of a command as users see them: spelling, value, meaning and default, from the annotations of its function."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum
from typing import Any, get_args, get_origin

from typer.models import ArgumentInfo

_LONGEST = 18  # digits of a number


@dataclass(frozen=True)
class Parameter:
    """An option, or an argument, whose `names` are empty."""

    names: tuple[str, ...]  # "--file", "-f"
    metavar: str  # "FILE"; "" for a flag
    kind: type  # of one value: str, int, float, bool or an enumeration
    several: bool
    required: bool
    help: str  # with the choices and the default
    panel: str | None
    minimum: int | None
    maximum: int | None
    name: str  # of the parameter of the function

    @classmethod
    def of(cls, parameter: inspect.Parameter) -> Parameter:
        """From a parameter that is annotated for Typer: Annotated[type, Option(…) or Argument(…)]."""
        kind, info = parameter.annotation.__origin__, parameter.annotation.__metadata__[0]
        kinds = [each for each in get_args(kind) or (kind,) if each is not type(None)]
        several = get_origin(kinds[0]) is list or get_origin(kind) is list
        (kind,) = (get_args(kinds[0]) or kinds) if several else kinds
        required, argument = parameter.default is inspect.Parameter.empty, isinstance(info, ArgumentInfo)
        names = [each for each in (info.default, *(info.param_decls or ())) if isinstance(each, str)]  # `default` has the first
        if argument:
            names = []
        elif not names:
            names = [f"--{parameter.name.replace('_', '-')}"]
        metavar = "" if kind is bool else info.metavar or parameter.name.upper()
        text = _with_default(_with_choices(info.help or "", kind, metavar), parameter.default)
        panel = info.rich_help_panel
        return cls(tuple(names), metavar, kind, several, required, text, panel, info.min, info.max, parameter.name)

    @property
    def spelled(self) -> str:
        """As in a table of help: "-f, --file FILE …", "[TEXT …]"."""
        value = self.metavar + (" …" if self.several else "")
        if not self.names:
            return value if self.required else f"[{value}]"
        names = [name for name in self.names if name == self.long or not name.startswith("--")]  # no further long names
        return " ".join(filter(None, [", ".join(sorted(names, key=len)), value]))

    @property
    def long(self) -> str:
        """The first long name."""
        return next((name for name in self.names if name.startswith("--")), "")

    @property
    def title(self) -> str:
        """The name in messages: "--file", or "TEXT"."""
        return self.names[0] if self.names else self.metavar

    def problem(self, value: str) -> str | None:
        """Why the value cannot be converted, in words; None if it can."""
        if self.kind is int and not (re.fullmatch(r"-?[0-9]+", value) and len(value) <= _LONGEST and self._reaches(int(value))):
            return f"{self.title} takes a whole number{self._range}, not {shortened(value)}"
        if self.kind is float:
            try:
                float(value)
            except ValueError:
                return f"{self.title} takes a number, not {shortened(value)}"
        if issubclass(self.kind, Enum):
            choices = [str(member.value) for member in self.kind]
            if value not in choices:
                return f"{self.title} takes one of {', '.join(choices)}, not {shortened(value)}{did_you_mean(value, choices)}"
        return None

    def _reaches(self, number: int) -> bool:
        return (self.minimum is None or number >= self.minimum) and (self.maximum is None or number <= self.maximum)

    @property
    def _range(self) -> str:
        if self.minimum is None:
            return ""
        return f", {self.minimum} or more" if self.maximum is None else f" from {self.minimum} to {self.maximum}"


def parameters_of(function: Callable[..., Any]) -> list[Parameter]:
    """The parameters of a command that `app.command` registered, arguments first."""
    parameters = [Parameter.of(p) for p in inspect.signature(function).parameters.values() if get_args(p.annotation)]
    return sorted(parameters, key=lambda p: bool(p.names))


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """ "; did you mean --context?", or "" if no name is near."""
    near = get_close_matches(name, list(names), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def shortened(value: str) -> str:
    """The value in quotes, at most 60 characters of it."""
    return repr(value if len(value) <= 60 else f"{value[:57]}...")


def _with_choices(text: str, kind: Any, metavar: str) -> str:
    choices = [str(member.value) for member in kind] if issubclass(kind, Enum) and "|" not in metavar else []
    return text if all(choice in text for choice in choices) else f"{text} One of {', '.join(choices)}."


def _with_default(text: str, default: Any) -> str:
    plain = isinstance(default, str | int) and not isinstance(default, bool) and default != "" and "Default" not in text
    return f"{text} Default: {default}." if plain else text
