"""Byte and character spans of the tokens of a text.

Most tokenizers are lossless: the bytes of the tokens, joined, spell the text, and the spans are sums of lengths. Other
tokenizers change the text first (case, accents, NFKC, spaces, unknown words). `chainrule.text.align` then matches tokens
and text, and the spans are as accurate as that match.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from chainrule._types import Ints
from chainrule.text.align import Span, match
from chainrule.text.base import Spans, TokenizerLike

_BLOCK = 4096  # texts processed together


def align(text: str, pieces: Sequence[bytes], offsets: Sequence[Span] | None = None) -> Spans:
    """The spans, in their text, of tokens with these bytes.

    An empty piece is a token whose bytes are unknown: it takes the text between its neighbours. `offsets`, in characters,
    are those that the tokenizer reports; they are used only where the bytes do not decide.
    """
    raw = text.encode()
    shift = _shift(raw, pieces)
    if shift is not None:
        byte_spans = _tiles(pieces, shift, len(raw))
    else:
        byte_spans = match(text, pieces, offsets)
    return Spans(byte_spans, _char_spans(raw, byte_spans), shift is not None)


def char_spans(tokenizer: TokenizerLike, texts: Sequence[str], ids: Sequence[Ints]) -> tuple[Ints, Ints]:
    """The `char_spans` of all tokens of many texts, text after text: an array of starts and an array of ends.

    The result equals that of `tokenizer.spans` on each text. It is many times faster where tokens spell their texts.
    """
    blocks = [slice(first, first + _BLOCK) for first in range(0, len(texts), _BLOCK)]
    parts = [_char_spans_of_block(tokenizer, texts[block], ids[block]) for block in blocks]
    nothing = np.zeros(0, np.int64)
    return np.concatenate([nothing, *(begin for begin, _ in parts)]), np.concatenate([nothing, *(end for _, end in parts)])


def _char_spans_of_block(tokenizer: TokenizerLike, texts: Sequence[str], ids: Sequence[Ints]) -> tuple[Ints, Ints]:
    """The bytes of all texts are concatenated, and so are those of all tokens. Shapes: S texts, T tokens."""
    raws = [text.encode() for text in texts]
    token_S1, byte_S1, char_S1 = (_bounds(map(len, each)) for each in (ids, raws, texts))
    id_U, which_T = distinct(np.concatenate(ids))
    pieces = [tokenizer.token_bytes(id) for id in id_U.tolist()]
    joined = b"".join(map(pieces.__getitem__, which_T.tolist()))
    piece_T1 = np.append(0, np.cumsum(np.diff(_bounds(map(len, pieces)))[which_T]))
    bounds = pairwise(piece_T1[token_S1].tolist())
    shifts = [_shift(raw, [joined[a:b]]) for raw, (a, b) in zip(raws, bounds, strict=True)]
    spread = lambda value_S: np.repeat(value_S, np.diff(token_S1))  # noqa: E731
    moved_S = byte_S1[:-1] - piece_T1[token_S1[:-1]] - np.array([shift or 0 for shift in shifts])
    stop_T = np.clip(piece_T1[1:] + spread(moved_S), spread(byte_S1[:-1]), spread(byte_S1[1:]))
    begin_T = np.maximum(np.append(0, stop_T)[:-1], spread(byte_S1[:-1]))
    first_T, stop_char_T = (at_T - spread(char_S1[:-1]) for at_T in _characters(b"".join(raws), begin_T, stop_T))
    for s, shift in enumerate(shifts):
        if shift is None:
            own = slice(token_S1[s], token_S1[s + 1])
            first_T[own], stop_char_T[own] = np.array(tokenizer.spans(texts[s], ids[s]).char_spans).reshape(-1, 2).T
    return first_T, stop_char_T


def _bounds(lengths: Iterable[int]) -> Ints:
    return np.cumsum([0, *lengths], dtype=np.int64)


def distinct(ids_T: NDArray[np.integer]) -> tuple[Ints, Ints]:
    """The distinct ids (none below 0), ascending, and the index of each id among them: np.unique without sorting."""
    there_V = np.zeros(int(ids_T.max(initial=-1)) + 1, bool)
    there_V[ids_T] = True
    return np.flatnonzero(there_V), (np.cumsum(there_V) - 1)[ids_T]


def words_by_space(text: str, spans: Spans) -> Ints:
    """The number of the word of each token, from 0. A word begins after white space, or with it."""
    begins = [
        at == 0 or text[max(0, first - 1) : first].isspace() or text[first : first + 1].isspace()
        for at, (first, _) in enumerate(spans.char_spans)
    ]
    return np.cumsum(begins, dtype=np.int64) - 1


def trimmed(texts: Sequence[str], begin_B: Ints, stop_B: Ints) -> tuple[Ints, Ints]:
    """The spans without white space at either end, in texts that are joined by one line break; empty for blank ones."""
    codes = np.frombuffer("\n".join([*texts, ""]).encode("utf-32-le"), "<u4")
    kinds, kind = np.unique(codes, return_inverse=True)
    space = np.array([chr(code).isspace() for code in kinds.tolist()], bool)[kind]
    size, at = len(codes), np.arange(len(codes))
    next_character = np.append(np.minimum.accumulate(np.where(space, size, at)[::-1])[::-1], size)
    after_last = np.append(0, np.maximum.accumulate(np.where(space, 0, at + 1)))
    return next_character[begin_B], after_last[stop_B]


def spells(text: str, pieces: Sequence[bytes]) -> bool:
    """Whether the joined pieces equal the text. One space that the tokenizer adds at either end is allowed."""
    return _shift(text.encode(), pieces) is not None


def _shift(raw: bytes, pieces: Sequence[bytes]) -> int | None:
    """The number of bytes in the pieces before the text (0 or 1); None if they do not spell the text."""
    joined = b"".join(pieces)
    if joined in (raw, raw + b" "):
        return 0
    return 1 if joined == b" " + raw else None


def _tiles(pieces: Sequence[bytes], shift: int, size: int) -> list[Span]:
    bounds = np.cumsum([0, *map(len, pieces)])
    bounds = np.clip(bounds - shift, 0, size).tolist()
    return list(pairwise(bounds))


def _char_spans(raw: bytes, byte_spans: Sequence[Span]) -> list[Span]:
    """Byte spans as character spans, rounded outwards: a span with part of a character includes the character."""
    begin, end = np.array(byte_spans, np.int64).reshape(-1, 2).T
    first, last = _characters(raw, begin, end)
    return list(zip(first.tolist(), last.tolist(), strict=True))


def _characters(raw: bytes, begin: Ints, end: Ints) -> tuple[Ints, Ints]:
    is_first = (np.frombuffer(raw, np.uint8) & 0xC0) != 0x80
    chars_before = np.concatenate([[0], np.cumsum(is_first)])  # at each byte, and at the end
    char_of = np.append(chars_before[1:] - 1, chars_before[-1])
    first = char_of[begin]
    last = np.where(end > begin, char_of[np.maximum(end, 1) - 1] + 1, first)
    return first, np.maximum.accumulate(last)
