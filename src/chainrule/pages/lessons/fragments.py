"""The texts of the lessons: HTML that is written by hand, with formulas in both notations and values of the model.

    {x:2}      x_2                       {e:2}  e_2            {s}  the start symbol          {h:2}, {z:2}  h_2, z_2
    {Pr:2}     Pr(x_2 | s, e_0, e_1)     {Prx:2}  Pr(x_2 | s, x_0, x_1)        {Pr:4|0,2}  Pr(x_4 | s, e_0, e_2)
    {{name}}   a value of the lesson: plain text

In the notation of the course the start symbol is x_0, so each index is one higher. The page shows one of the two.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from html import escape
from importlib.resources import files

_VALUE = re.compile(r"\{\{(\w+)\}\}")
_FORMULA = re.compile(r"\{([A-Za-z]+)(?::(\w+)(?:\|([\d,]+))?)?\}")


def fragment(name: str, values: Mapping[str, str]) -> str:
    """The HTML of a lesson. Raises KeyError for a value that is missing."""
    formulas = with_formulas(_VALUE.sub(r"\0\1\0", _source(name)))
    return re.sub(r"\0(\w+)\0", lambda found: escape(values[found[1]]), formulas)


def with_formulas(html: str) -> str:
    """The HTML with its formulas written out."""
    return _FORMULA.sub(lambda found: _both(*found.groups()), html)


@cache
def _source(name: str) -> str:
    return (files("chainrule.pages.lessons") / "contents" / f"{name}.html").read_text("utf-8")


def _both(kind: str, index: str | None, known: str | None) -> str:
    """A formula in both notations. The second is hidden until the reader chooses it."""
    ours, course = (_formula(kind, index, known, first) for first in (0, 1))
    if ours == course:
        return f'<span class="formula">{ours}</span>'
    return f'<span class="formula ours">{ours}</span><span class="formula course" hidden>{course}</span>'


def _formula(kind: str, index: str | None, known: str | None, first: int) -> str:
    """first: the index of the first token: 1 in the notation of the course."""
    if kind == "s":
        return _symbol("x", 0) if first else "<i>s</i>"
    if index is None:
        raise ValueError(f"the formula {kind!r} needs an index")
    if kind not in ("Pr", "Prx"):
        return _symbol(kind, index, first)
    positions = range(int(index)) if known is None else [int(p) for p in known.split(",")]
    return f"Pr({_symbol('x', index, first)} | {_condition('x' if kind == 'Prx' else 'e', list(positions), first)})"


def _condition(letter: str, positions: list[int], first: int) -> str:
    names = [_symbol(letter, 0) if first else "<i>s</i>", *(_symbol(letter, p, first) for p in positions)]
    return ", ".join(names)


def _symbol(letter: str, index: str | int, first: int = 0) -> str:
    number = int(index) + first if str(index).isdecimal() else f"<i>{index}</i>"
    return f"<i>{letter}</i><sub>{number}</sub>"
