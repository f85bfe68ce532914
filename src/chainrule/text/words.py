"""The words of a text, or other units that a user asks for, as character spans."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, TypeAlias

import regex

from chainrule.errors import InputError, short
from chainrule.text.align import Span

Split: TypeAlias = Callable[[str], Iterable[str] | Iterable[tuple[int, int]]]
UnitsOfText: TypeAlias = Sequence[str] | Sequence[tuple[int, int]]
Units: TypeAlias = Literal["whitespace", "unicode"] | Split | UnitsOfText | Sequence[UnitsOfText]

WHITESPACE, UNICODE, GIVEN = "whitespace", "unicode", "given"
_SPLIT = {
    WHITESPACE: re.compile(r"\S+").finditer,
    UNICODE: regex.compile(r"(?V1w).+?\b", regex.DOTALL).finditer,
}


def spans_of_texts(texts: Sequence[str], units: Units) -> tuple[list[list[Span]], str]:
    """The spans of the units of every text, ascending, and the name of the units.

    units: "whitespace": words between white space; "unicode": the words of Unicode Standard Annex 29, and each punctuation
    mark; a function from a text to its words or their spans; or, for each text, a list of its words or of their spans.
    Raises InputError, with the item, for words that do not spell their text and spans outside it.
    """
    if isinstance(units, str):
        if units not in _SPLIT:
            raise InputError(
                f'units must be "whitespace", "unicode", a function, or the words or spans of each text, not {short(units)}'
            )
        return [_split(text, units, item) for item, text in enumerate(texts)], units
    if callable(units):
        name = getattr(units, "__name__", type(units).__name__)
        return [spans_of(text, units(text), item) for item, text in enumerate(texts)], name
    if len(units) != len(texts):
        raise InputError(f"there are {len(texts)} texts and the units of {len(units)}: give a list of units for each text")
    return [spans_of(text, own, item) for item, (text, own) in enumerate(zip(texts, units, strict=True))], GIVEN


def spans_of(text: str, units: Any, item: int | None = None) -> list[Span]:
    """The spans of units that are given as words, which spell the text but for white space, or as (begin, stop)."""
    own = [units] if isinstance(units, str) else list(units)
    if not own:
        raise InputError("there are no words", item)
    return _spans_of_words(text, own, item) if isinstance(own[0], str) else _checked(text, own, item)


def _split(text: str, units: str, item: int) -> list[Span]:
    spans = [match.span() for match in _SPLIT[units](text) if not match.group().isspace()]
    if not spans:
        raise InputError(f"the text {short(text)} has no words", item)
    return spans


def _spans_of_words(text: str, words: list[Any], item: int | None) -> list[Span]:
    spans, at = [], 0
    for number, word in enumerate(words):
        if not isinstance(word, str) or not word.strip():
            raise InputError(f"word {number} is {short(word)}, which is not a word", item)
        begin = _after_space(text, at)
        own = word.strip()
        if not text.startswith(own, begin):
            raise InputError(
                f"the words do not spell the text: word {number} is {short(word)}, but the text goes on with "
                f"{short(text[begin : begin + len(own) + 8]) if begin < len(text) else 'nothing'}",
                item,
            )
        at = begin + len(own)
        spans.append((begin, at))
    if text[at:].strip():
        raise InputError(f"the words do not spell the text: after the last word, it goes on with {short(text[at:])}", item)
    return spans


def _after_space(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def _checked(text: str, spans: list[Any], item: int | None) -> list[Span]:
    checked, before = [], 0
    for span in spans:
        try:
            begin, stop = (int(bound) for bound in span)
        except (TypeError, ValueError):
            raise InputError(f"a unit is a word or a pair (begin, stop) of characters, not {short(span)}", item) from None
        if not 0 <= begin < stop <= len(text):
            raise InputError(f"the span ({begin}, {stop}) is outside the text, which has the characters 0 to {len(text)}", item)
        if begin < before:
            raise InputError(f"the span ({begin}, {stop}) begins before the end of the one before it, {before}", item)
        if text[begin:stop].isspace():
            raise InputError(f"the span ({begin}, {stop}) has white space only", item)
        checked.append((begin, stop))
        before = stop
    return checked
