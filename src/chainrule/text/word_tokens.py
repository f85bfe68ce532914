"""Which tokens belong to which words: each token to the word in which its first character other than white space lies.

White space before a word belongs to it. White space after the last word of a text, and tokens between words that are given
as spans, belong to no word. A token crosses a boundary if it has characters other than white space on both sides of it.

Shapes: S texts, B tokens of all texts, W words of all texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from chainrule._types import Bools, Ints
from chainrule.text.align import Span
from chainrule.text.base import TokenizerLike
from chainrule.text.spans import char_spans, trimmed


@dataclass(frozen=True)
class WordTokens:
    """The tokens of the words of S texts. A token is numbered within all texts, a character within its text."""

    stop_B: Ints  # one past the last character of each token
    word_B: Ints  # the word that the token belongs to; −1: none
    first_W: Ints  # the first token of each word; meaningless for a word without tokens
    count_W: Ints  # its number of tokens
    cut_left_W: Bools  # whether a token crosses its beginning
    cut_right_W: Bools  # whether a token crosses its end
    crossing: dict[int, list[int]]  # for each word that a token crosses into or out of, these tokens


def word_tokens(
    tokenizer: TokenizerLike, texts: Sequence[str], ids: Sequence[Ints], spans: Sequence[Sequence[Span]]
) -> WordTokens:
    """The tokens of the words at these spans."""
    base_S = np.cumsum([0, *(len(text) + 1 for text in texts)])[:-1]  # texts are joined by a character of white space
    begin_B, stop_B = char_spans(tokenizer, texts, ids)
    base_B = np.repeat(base_S, [len(own) for own in ids])
    span_W2 = np.array([span for own in spans for span in own], np.int64).reshape(-1, 2)
    begin_W, stop_W = (span_W2 + np.repeat(base_S, [len(own) for own in spans])[:, None]).T
    first_B, last_B = trimmed(texts, begin_B + base_B, stop_B + base_B)
    blank_B = first_B >= last_B
    word_B = np.searchsorted(begin_W, first_B, "right") - 1
    word_B[(word_B < 0) | (first_B >= stop_W[word_B])] = -1
    word_B[blank_B] = _next_word(word_B, blank_B, base_B)[blank_B]
    owned = np.flatnonzero(word_B >= 0)
    count_W = np.bincount(word_B[owned], minlength=len(begin_W))
    first_W = np.append(owned, -1)[np.searchsorted(word_B[owned], np.arange(len(begin_W)))]
    bound_X = np.union1d(begin_W, stop_W)
    inside_B = np.searchsorted(bound_X, last_B, "left") - np.searchsorted(bound_X, first_B, "right")
    cut_left_W, cut_right_W, crossing = np.zeros(len(begin_W), bool), np.zeros(len(begin_W), bool), {}
    for b in np.flatnonzero((inside_B > 0) & ~blank_B).tolist():
        low, high = np.searchsorted(stop_W, first_B[b], "right"), np.searchsorted(begin_W, last_B[b], "left")
        for word in range(int(low), int(high)):
            cut_left_W[word] |= first_B[b] < begin_W[word]
            cut_right_W[word] |= last_B[b] > stop_W[word]
            crossing.setdefault(word, []).append(b)
    return WordTokens(stop_B, word_B, first_W, count_W, cut_left_W, cut_right_W, crossing)


def _next_word(word_B: Ints, blank_B: Bools, base_B: Ints) -> Ints:
    """For each token, the word of the next token of its text that is not blank; −1 if there is none."""
    count = len(word_B)
    next_B = np.minimum.accumulate(np.where(blank_B, count, np.arange(count))[::-1])[::-1]
    word = np.append(word_B, -1)[next_B]
    same_text = np.append(base_B, -1)[next_B] == base_B
    return np.where(same_text, word, -1)
