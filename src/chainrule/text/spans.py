"""Where each token lies in the text: byte and character spans.

Most tokenizers are lossless: the bytes of the tokens, joined, spell the text, and the spans are sums of lengths. Where
a tokenizer changed the text first (case, accents, NFKC, spaces, unknown words), the two are laid side by side by
`chainrule.text.matching`, and the spans are as good as that match.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from chainrule.text.matching import Span, match


@dataclass(frozen=True)
class Spans:
    """One half-open span a token, in order, within the text; they overlap only over the parts of one character.

    byte_spans: into the text's UTF-8. char_spans: the characters of which the token holds any byte.
    exact: the tokens spell the text byte for byte (but for one space that the tokenizer sets before or behind it).
    """

    byte_spans: list[Span]
    char_spans: list[Span]
    exact: bool


def align(text: str, pieces: Sequence[bytes], offsets: Sequence[Span] | None = None) -> Spans:
    """The spans of tokens with these bytes in the text that they were made from.

    An empty piece is a token of which nobody knows what it stands for: it takes what lies between its neighbours.
    `offsets`, in characters, are the tokenizer's own opinion; they are asked only where the bytes do not decide.
    """
    raw = text.encode()
    shift = _shift(raw, pieces)
    if shift is not None:
        byte_spans = _tiles(pieces, shift, len(raw))
    else:
        byte_spans = match(text, pieces, offsets)
    return Spans(byte_spans, _char_spans(raw, byte_spans), shift is not None)


def spells(text: str, pieces: Sequence[bytes]) -> bool:
    """Whether the pieces, joined, are the text, but for one space that a tokenizer may set before or behind it."""
    return _shift(text.encode(), pieces) is not None


def _shift(raw: bytes, pieces: Sequence[bytes]) -> int | None:
    """The number of bytes that the pieces have before the text (0 or 1); None where they do not spell it."""
    joined = b"".join(pieces)
    if joined in (raw, raw + b" "):
        return 0
    return 1 if joined == b" " + raw else None


def _tiles(pieces: Sequence[bytes], shift: int, size: int) -> list[Span]:
    bounds = np.cumsum([0, *map(len, pieces)])
    bounds = np.clip(bounds - shift, 0, size).tolist()
    return list(pairwise(bounds))


def _char_spans(raw: bytes, byte_spans: Sequence[Span]) -> list[Span]:
    """From bytes to characters, outwards: a span that holds a part of a character holds the character."""
    is_first = (np.frombuffer(raw, np.uint8) & 0xC0) != 0x80
    chars_before = np.concatenate([[0], np.cumsum(is_first)])  # at each byte, and at the end
    char_of = np.append(chars_before[1:] - 1, chars_before[-1])
    begin, end = np.array(byte_spans, np.int64).reshape(-1, 2).T
    first = char_of[begin]
    last = np.where(end > begin, char_of[np.maximum(end, 1) - 1] + 1, first)
    return list(zip(first.tolist(), np.maximum.accumulate(last).tolist(), strict=True))
