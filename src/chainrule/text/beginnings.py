"""Beginnings that texts share, in characters: what a prefix forest of the texts saves, before they are tokenised."""

from __future__ import annotations

from collections.abc import Iterable


def distinct(texts: Iterable[str]) -> int:
    """The number of characters of the texts, those of a beginning that several share counted once."""
    total, before = 0, ""
    for text in sorted(texts):
        total += len(text) - shared(before, text)
        before = text
    return total


def shared(a: str, b: str) -> int:
    """The length of the common beginning."""
    low, high = 0, min(len(a), len(b))
    while low < high:  # both have the same first `low` characters
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
