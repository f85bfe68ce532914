"""Mistakes on the command line, in one line: unknown options and commands, wrong values, missing and surplus arguments."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from typing import Any

import typer

from chainrule.cli.parameters import Parameter, did_you_mean, shortened
from chainrule.errors import InputError

UsageError = typer.BadParameter.__mro__[1]  # the class that Typer raises for all of them, in every version of Typer
FORMER = {"--pair-column": "--second-segment-column"}  # former names of options


def message(error: Any) -> str:
    """What was wrong, for an error of Typer's."""
    command = getattr(error.ctx, "command", None)
    parameters: Sequence[Parameter] = getattr(command, "parameters", ())
    name = getattr(error, "option_name", "")
    if hasattr(error, "possibilities"):
        return _no_option(name, command, parameters)
    if name:  # an option without its value, or a flag with one
        option = next((p for p in parameters if name in p.names), None)
        flag = option is not None and option.kind is bool
        return f"{name} takes no value" if flag else f"{name} needs a value{f': {option.spelled}' if option else ''}"
    text = error.format_message().rstrip(".")
    return text[:1].lower() + text[1:]


def spread(command: Any, arguments: list[str]) -> list[str]:
    """The arguments with "--file a --file b" for "--file a b", which a shell makes of --file *. Other words are arguments.

    A word after --file is one more file if it exists and its name has the same suffix as the one before, or one of a table.
    """
    if not any("--file" in parameter.names for parameter in command.parameters):
        return arguments
    spread, previous = [], None  # previous: the file before, if a further one may follow
    for position, word in enumerate(arguments):
        if word == "--":
            return spread + arguments[position:]
        if previous is not None and _is_further_file(word, previous):
            spread.append("--file")
        elif position == 0 or arguments[position - 1] not in ("--file", "-f"):
            previous = None
        previous = word if spread and spread[-1] in ("--file", "-f") else previous
        spread.append(word)
    return spread


def _is_further_file(word: str, previous: str) -> bool:
    if word.startswith("-") or not os.path.isfile(word):
        return False
    from chainrule.files.reading import SUFFIXES

    suffix = os.path.splitext(word)[1].lower()
    return suffix == os.path.splitext(previous)[1].lower() or (suffix != "" and suffix in SUFFIXES)


def check(command: Any, arguments: Sequence[str], values: dict[str, Any], left: Sequence[str], order: Iterable[Any]) -> None:
    """Raises InputError for what Typer would word worse, or accept. left: words that no argument takes."""
    given = [option.name for option in order]
    for parameter in command.parameters:
        value = values.get(parameter.name)
        texts = [each for each in (value if isinstance(value, list | tuple) else [value]) if isinstance(each, str)]
        if parameter.names and not parameter.several and parameter.kind is not bool and given.count(parameter.name) > 1:
            raise InputError(f"{parameter.title} is given {given.count(parameter.name)} times, but takes one value")
        if parameter.required and not texts:
            meaning = parameter.help.rstrip(".")
            meaning = meaning[0].lower() + meaning[1:]
            raise InputError(f"{command.name} needs {parameter.title}: {meaning}; {_see(command)}")
        for text in texts:
            if problem := parameter.problem(text):
                raise InputError(problem)
    if left:
        most = sum(not p.names for p in command.parameters)
        takes = f"takes {most or 'no'} argument{'s' * (most != 1)}, but {shortened(left[0])} is given too"
        raise InputError(f"{command.name} {takes}: put a text with spaces in quotes; {_see(command)}")


def no_command(name: str, commands: Iterable[str]) -> str:
    """The message for a first word that is not a command."""
    if re.search(r"\s", name) or os.path.exists(name):
        quoted = f"--file {name}" if os.path.exists(name) else f'"{shortened(name)[1:-1]}"'
        return f"there is no command {shortened(name)}; did you mean chainrule score {quoted}?"
    return f"there is no command {shortened(name)}{did_you_mean(name, commands) or '; chainrule --help lists them'}"


def _no_option(name: str, command: Any, parameters: Sequence[Parameter]) -> str:
    if name in FORMER:
        return f"{name} is now called {FORMER[name]}"
    near = did_you_mean(name, ["--help", *(each for p in parameters for each in p.names if each.startswith("--"))])
    if not near and not name.startswith("--"):
        near = f"; a text that begins with - is given after --, as in: chainrule {command.name} -- '{name} …'"
    return f"there is no option {name}{near or f'; {_see(command)}'}"


def _see(command: Any) -> str:
    return f"see chainrule {command.name} --help" if hasattr(command, "parameters") else "see chainrule --help"
