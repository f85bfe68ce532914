"""How names of control symbols in a text, such as <|endoftext|>, are read: as plain text, or as the symbols."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import numpy as np

from chainrule._types import Ints
from chainrule.errors import InputError, short

Special = Literal["text", "parse"]


class Reading(NamedTuple):
    """How names of control symbols are read in a text and in its context."""

    text: Special = "text"
    context: Special = "text"
    explicit: bool = False  # whether the user chose it explicitly: then there is no warning

    @classmethod
    def of(cls, special: str | None, context_special: str | None = None) -> Reading:
        """None: plain text for `special`, and the same as `special` for a context. Raises InputError for other values."""
        for name, value in (("special", special), ("context_special", context_special)):
            if value is not None and not (isinstance(value, str) and value in ("text", "parse")):
                raise InputError(
                    f"{name}={short(value)} must be 'text' (names of control symbols are plain text) or 'parse' (they are "
                    "read as symbols)"
                )
        text: Special = "parse" if special == "parse" else "text"
        context: Special = text if context_special is None else "parse" if context_special == "parse" else "text"
        return cls(text, context, special is not None)


LITERAL = Reading()


def names_of(symbols: Iterable[str]) -> re.Pattern[str] | None:
    """A pattern that matches any of these names, preferring the longest; None if there are no names."""
    names = sorted(filter(None, set(symbols)), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, names))) if names else None


def holding(ids: Sequence[Ints], controls: Ints) -> list[int]:
    """The indices of the sequences that contain any of the control symbols."""
    if not len(controls) or not np.isin(np.concatenate([*ids, controls[:0]]), controls).any():
        return []
    return [i for i, each in enumerate(ids) if np.isin(each, controls).any()]
