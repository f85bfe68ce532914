"""How a text is read in which the name of a control symbol stands, such as <|endoftext|>: as plain text, or as the symbol."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import numpy as np

from chainrule._types import Ints
from chainrule.errors import InputError, short

Special = Literal["text", "parse"]


class Reading(NamedTuple):
    """How control symbols are read that a text names, and those that its context names."""

    text: Special = "text"
    context: Special = "text"
    asked: bool = False  # whether somebody chose it, and so needs no warning

    @classmethod
    def of(cls, special: str | None, context_special: str | None = None) -> Reading:
        """None: plain text for `special`, and the same as `special` for a context. Raises InputError for other values."""
        for name, value in (("special", special), ("context_special", context_special)):
            if value is not None and not (isinstance(value, str) and value in ("text", "parse")):
                raise InputError(
                    f"{name}={short(value)} is neither 'text' (the names of control symbols are plain text) nor 'parse' (they "
                    "are read as the symbols)"
                )
        text: Special = "parse" if special == "parse" else "text"
        context: Special = text if context_special is None else "parse" if context_special == "parse" else "text"
        return cls(text, context, special is not None)


LITERAL = Reading()


def names_of(symbols: Iterable[str]) -> re.Pattern[str] | None:
    """What finds any of these in a text, the longest of those that begin alike; None where there are none."""
    names = sorted(filter(None, set(symbols)), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, names))) if names else None


def holding(ids: Sequence[Ints], controls: Ints) -> list[int]:
    """Which of these sequences hold any of the control symbols."""
    if not len(controls) or not np.isin(np.concatenate([*ids, controls[:0]]), controls).any():
        return []
    return [i for i, each in enumerate(ids) if np.isin(each, controls).any()]
