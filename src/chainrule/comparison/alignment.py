"""Which number of a user belongs to which token: a list may lack a token, begin with a missing number, or hold words.

Shapes: N tokens of a computation, M numbers of the user.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from chainrule._types import Floats, Ints
from chainrule.results.comparison import Cause


@dataclass(frozen=True)
class Alignment:
    """The tokens that the M numbers belong to. `of` turns the values of N tokens into those of M numbers."""

    token_M: Ints  # the (first) token of each number; −1: none
    of: Callable[[Floats], Floats]  # NaN where a number is not compared
    cause: Cause | None = None


def alignments(count: int, values_M: Floats, word_N: Ints | None) -> Iterator[Alignment]:
    """The alignments of the numbers of a user with `count` tokens, likeliest first. word_N: the word of each token."""
    size = len(values_M)
    missing = np.isnan(values_M) | ((values_M == 0) & _at_an_end(size) & (size > 1))
    if size == count:
        yield _shifted(count, size, 0, None)
        if missing.any() and not missing.all():
            cause = Cause(
                "missing numbers",
                "some tokens have no number (None, NaN, or 0 at an end)",
                "the first token has a number if a start symbol precedes it",
            )
            yield _shifted(count, size, 0, cause, missing)
    elif size == count + 1:
        if missing[0]:
            yield _shifted(count, size, -1, None, missing)
        if missing[-1]:
            yield _shifted(count, size, 0, None, missing)
    elif size < count:
        if size == count - 1:
            first = Cause("the first number is missing", "the first token has no number", "add the number of the first token")
            yield _shifted(count, size, 1, first)
        cut = Cause("cut", f"they end after {size} tokens of {count}", "score the whole text (truncation=False)")
        yield _shifted(count, size, 0, cut)
        if size < count - 1:
            end = Cause("cut", f"they are those of the last {size} tokens of {count}", "score the whole text")
            yield _shifted(count, size, count - size, end)
        if word_N is not None and len(word_N) <= count and size == len(np.unique(word_N)):
            first_M = np.unique(word_N, return_index=True)[1]
            words = Cause(
                "words", "there is one number for each word, the sum over its tokens", "add up our numbers of each word"
            )
            yield Alignment(first_M, partial(_by_word, first_M, len(word_N)), words)


def identity(count: int) -> Alignment:
    """Number i belongs to token i."""
    return _shifted(count, count, 0, None)


def _at_an_end(size: int) -> np.ndarray:
    return np.isin(np.arange(size), (0, size - 1))


def _shifted(count: int, size: int, by: int, cause: Cause | None, missing: np.ndarray | None = None) -> Alignment:
    """Number i belongs to token i + by."""
    token_M = np.arange(size) + by
    token_M[(token_M < 0) | (token_M >= count)] = -1
    compared = token_M >= 0 if missing is None else (token_M >= 0) & ~missing
    return Alignment(token_M, partial(_taken, token_M, compared), cause)


def _taken(token_M: Ints, compared_M: np.ndarray, value_N: Floats) -> Floats:
    return np.where(compared_M, value_N[np.clip(token_M, 0, len(value_N) - 1)], np.nan)


def _by_word(first_M: Ints, count: int, value_N: Floats) -> Floats:
    return np.add.reduceat(value_N[:count], first_M)
