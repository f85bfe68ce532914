"""Templates of prompts: a text with the columns of a row in braces."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from chainrule.errors import InputError, short
from chainrule.files.rows import Number, no_column
from chainrule.text.arguments import is_missing

_PARTS = re.compile(r"\{\{|\}\}|\{[^{}]*\}|[{}]")
_ESCAPES = {r"\n": "\n", r"\t": "\t", r"\\": "\\"}


class Template:
    """A text such as "{question}\\nAnswer:". {{ and }} stand for braces. Raises InputError for any other brace."""

    def __init__(self, text: str) -> None:
        self._parts: list[tuple[str, str]] = []  # a text, and the column after it
        before, at = "", 0
        for part in _PARTS.finditer(text):
            before += text[at : part.start()]
            at = part.end()
            if part[0] in ("{{", "}}"):
                before += part[0][0]
            elif len(part[0]) > 2:
                self._parts.append((before, part[0][1:-1]))
                before = ""
            else:
                raise InputError(
                    f"the template has {part[0]!r} at character {part.start()} (from 0): a column is {{name}}, and "
                    f"{part[0][0] * 2} stands for the brace"
                )
        self._end = before + text[at:]
        if not self._parts:
            raise InputError(f"the template {short(text)} names no column: write one in braces, such as {{question}}")

    @property
    def columns(self) -> list[str]:
        """The columns, in order of appearance."""
        return list(dict.fromkeys(name for _, name in self._parts))

    def of(self, row: Mapping[Any, Any]) -> str:
        """The text for a row. Raises InputError for a column that is not there, or whose value is no text or number."""
        values = [before + as_text(field_of(row, name), f"the column {name!r}") for before, name in self._parts]
        return "".join(values) + self._end


def field_of(row: Mapping[Any, Any], name: str) -> Any:
    """The value of a column. If there is no column a.b, it is the field or the item b of the column a. Raises InputError."""
    if name in row:
        return row[name]
    first, *rest = name.split(".")
    if not rest or first not in row:
        raise InputError(no_column(name, row))
    value = row[first]
    for number, part in enumerate(rest, 1):
        before = ".".join([first, *rest[: number - 1]])
        if isinstance(value, Mapping):
            if part not in value:
                raise InputError(f"{no_column(name, value)} (of {before!r})")
            value = value[part]
        elif isinstance(value, Sequence | np.ndarray) and not isinstance(value, str) and part.isdecimal():
            if int(part) >= len(value):
                raise InputError(f"there is no column {name!r}: {before!r} has the items 0 to {len(value) - 1}")
            value = value[int(part)]
        else:
            raise InputError(f"there is no column {name!r}: {before!r} holds {short(value)}")
    return value


def has_field(names: Sequence[Any], name: str) -> bool:
    """Whether a table with these columns can have the field."""
    return name in names or ("." in name and name.split(".")[0] in names)


def as_text(value: Any, what: str) -> str:
    """A text, or a number in its spelling. Raises InputError for anything else. what: for the message."""
    if isinstance(value, str):
        return str.__str__(value)
    if is_missing(value):
        raise InputError(f"{what} has no value")
    if is_number(value):
        return str(value)
    raise InputError(f"{what} holds {short(value)}, which is neither a text nor a number")


def is_number(value: Any) -> bool:
    """Whether a value is a number by its type."""
    return isinstance(value, Number | int | float | np.integer | np.floating) and not isinstance(value, bool)


def unescaped(text: str) -> str:
    """An argument of a shell with its escapes replaced: \\n is a line break, \\t a tab, and \\\\ a backslash."""
    return re.sub(r"\\[nt\\]", lambda found: _ESCAPES[found[0]], text)
