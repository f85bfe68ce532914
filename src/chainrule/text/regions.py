"""Regions of a text: where they are, and the tokens that spell them.

White space at either end of a token belongs to no region, because most tokenizers put the space before a word into its token.
Shapes: C characters of a text, T tokens, R regions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from chainrule._types import Ints
from chainrule.errors import InputError, short
from chainrule.text.spans import trimmed

MARK = "|"


class Region(NamedTuple):
    """Some characters of a text: the first, and one past the last."""

    begin: int
    stop: int


class Spelled(NamedTuple):
    """The tokens `first` … `stop − 1` of a region, and those among them that also hold characters of another region."""

    first: int
    stop: int
    crossing: list[int]


def unmarked(text: str, item: int | None = None) -> tuple[str, Region]:
    """The text without its two marks, and the region between them. Raises InputError."""
    parts = text.split(MARK)
    if len(parts) != 3:
        raise InputError(
            f"a marked text has two {MARK}, one on each side of its region, not {len(parts) - 1}: {short(text)}", item
        )
    before, region, after = parts
    if not region.strip():
        raise InputError(f"the marked region is empty: {short(text)}", item)
    return before + region + after, Region(len(before), len(before) + len(region))


def located(text: str, region: str, item: int | None = None) -> Region:
    """Where a region is in a text. Raises InputError unless it occurs exactly once."""
    if not region.strip():
        raise InputError(f"the region is empty; the text is {short(text)}", item)
    begin = text.find(region)
    if begin < 0:
        raise InputError(f"the region {short(region)} is not in the text {short(text)}", item)
    if text.find(region, begin + 1) >= 0:
        raise InputError(f"the region {short(region)} occurs more than once in the text {short(text)}: mark it instead", item)
    return Region(begin, begin + len(region))


def tokens_of_region(text: str, begin_T: Ints, stop_T: Ints, region: Region) -> Spelled:
    """The tokens that hold any character of a region. begin_T, stop_T: the characters of each token."""
    first_T, end_T = _cores(text, begin_T, stop_T)
    inside = np.flatnonzero((first_T < region.stop) & (end_T > region.begin) & (end_T > first_T))
    if not len(inside):
        return Spelled(0, 0, [])
    crossing = inside[(first_T[inside] < region.begin) | (end_T[inside] > region.stop)]
    return Spelled(int(inside[0]), int(inside[-1]) + 1, crossing.tolist())


def tokens_of_regions(text: str, begin_T: Ints, stop_T: Ints, regions: Sequence[Region]) -> list[Spelled]:
    """The tokens of adjacent regions that cover a text. Each token belongs to the region of its first character."""
    first_T, end_T = _cores(text, begin_T, stop_T)
    begin_R = np.array([region.begin for region in regions], np.int64)
    stop_R = np.array([region.stop for region in regions], np.int64)
    filled = np.flatnonzero(stop_R > begin_R)
    token_T = np.flatnonzero(end_T > first_T)  # those with a character: not an end symbol
    own_T = filled[np.maximum(0, np.searchsorted(begin_R[filled], first_T[token_T], side="right") - 1)]
    spelled = []
    for r in range(len(regions)):
        own = token_T[own_T == r]
        crossing = own[end_T[own] > stop_R[r]].tolist()
        spelled.append(Spelled(int(own[0]), int(own[-1]) + 1, crossing) if len(own) else Spelled(0, 0, []))
    return spelled


def _cores(text: str, begin_T: Ints, stop_T: Ints) -> tuple[Ints, Ints]:
    """The characters of each token without white space at its ends. White space alone stands for the next character."""
    length = len(text)
    first_T, end_T = trimmed([text], begin_T, stop_T)
    first_T = np.minimum(first_T, length)
    alone = (end_T <= first_T) & (stop_T > begin_T)
    return first_T, np.where(alone, np.minimum(first_T + 1, length), np.where(stop_T > begin_T, end_T, first_T))
