"""Texts after other texts: a continuation of a context, and the pair format of encoders.

A token can cross the end of a context: "Hello wor" + "ld" has one token across the boundary. A continuation records
whether its tokens are those of the joined text.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from chainrule.errors import InputError
from chainrule.text.base import TokenizerLike
from chainrule.text.reading import LITERAL, Reading
from chainrule.text.stable_prefix import EMPTY_PREFIX

_CHUNK = 1024  # joined texts encoded at a time
_LONG = 256  # characters of a context from which on finding its stable prefix pays off


class Segment(NamedTuple):
    """A named slice [start, stop) of a sequence of ids."""

    name: str
    start: int
    stop: int


class Pair(NamedTuple):
    """Two texts in one sequence. The start symbol is not in `ids`; the segments cover `ids` in order."""

    start_id: int
    ids: np.ndarray
    segments: list[Segment]


@dataclass(frozen=True)
class Continuation:
    """The tokens of a text after a context.

    boundary: "same" if context_ids + ids are the tokens of the joined text; "apart" if a token would cross the boundary,
    so context and text were tokenised separately. With a lossless tokenizer they still spell the joined text, which the
    tokenizer would have encoded with other tokens.
    """

    context_ids: np.ndarray
    ids: np.ndarray
    boundary: Literal["same", "apart"]


def encode_pair(tokenizer: TokenizerLike, a: str, b: str, reading: Reading = LITERAL) -> Pair:
    """The pair format of BERT: [CLS] A [SEP] B [SEP], as the segments A, sep_A, B, sep_B after the start symbol [CLS].

    Raises InputError where the tokenizer has no [CLS] or no [SEP].
    """
    start_id, sep_id = tokenizer.cls_id, tokenizer.sep_id
    if start_id is None or sep_id is None:
        raise InputError(
            "this tokenizer has no [CLS] and [SEP] symbols, so its model takes no pairs of texts: "
            "to score a text after another, pass the other as context="
        )
    sep = np.array([sep_id], np.int64)
    ids_a, ids_b = tokenizer.encode_batch([a, b], reading.text)
    parts = {"A": ids_a, "sep_A": sep, "B": ids_b, "sep_B": sep}
    stops = np.cumsum([len(part) for part in parts.values()]).tolist()
    segments = [Segment(name, stop - len(part), stop) for (name, part), stop in zip(parts.items(), stops, strict=True)]
    return Pair(start_id, np.concatenate(list(parts.values())), segments)


def encode_after(tokenizer: TokenizerLike, context: str, text: str, reading: Reading = LITERAL) -> Continuation:
    """The tokens of a context, and those of a text after it."""
    return encode_after_batch(tokenizer, [context], [text], reading)[0]


def encode_after_batch(
    tokenizer: TokenizerLike, contexts: Sequence[str], texts: Sequence[str], reading: Reading = LITERAL
) -> list[Continuation]:
    """`after` for many: text i after context i. Texts after the same context share one `context_ids` array."""
    distinct = list(dict.fromkeys(contexts))
    ids_of = dict(zip(distinct, tokenizer.encode_batch(distinct, reading.context), strict=True))
    context_ids = [ids_of[context] for context in contexts]
    rests = list(_rests(tokenizer, contexts, texts, context_ids, reading))
    cut = [text for text, rest in zip(texts, rests, strict=True) if rest is None]
    apart = iter(tokenizer.encode_continuations(cut, reading.text))
    return [
        Continuation(ids, next(apart), "apart") if rest is None else Continuation(ids, rest, "same")
        for ids, rest in zip(context_ids, rests, strict=True)
    ]


def _rests(
    tokenizer: TokenizerLike,
    contexts: Sequence[str],
    texts: Sequence[str],
    context_ids: Sequence[np.ndarray],
    reading: Reading,
) -> Iterator[np.ndarray | None]:
    """The tokens of the joined text after those of the context; None if the joined text begins with other tokens."""
    if reading.text != reading.context:
        yield from _read_in_two_ways(tokenizer, contexts, texts, context_ids, reading)
        return
    shared = [context for context, count in Counter(contexts).items() if count > 1 and len(context) > _LONG]
    parsed = reading.context == "parse"
    plain = [parsed or symbol is None for symbol in tokenizer.symbols(shared)]
    prefixes = {context: tokenizer.stable_prefix(context) for context, applies in zip(shared, plain, strict=True) if applies}
    known = [prefixes.get(context, EMPTY_PREFIX) for context in contexts]
    for start in range(0, len(texts), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        joined = [c[k.chars :] + text for c, text, k in zip(contexts[chunk], texts[chunk], known[chunk], strict=True)]
        found = tokenizer.encode_batch(joined, reading.text)
        for ids, all_ids, k in zip(context_ids[chunk], found, known[chunk], strict=True):
            last = ids[k.tokens :]
            yield all_ids[len(last) :] if np.array_equal(all_ids[: len(last)], last) else None


def _read_in_two_ways(
    tokenizer: TokenizerLike,
    contexts: Sequence[str],
    texts: Sequence[str],
    context_ids: Sequence[np.ndarray],
    reading: Reading,
) -> Iterator[np.ndarray | None]:
    """`_rests` where text and context are read in two ways: as the one of the two that names a symbol is; apart if both do."""
    in_text, in_context = tokenizer.symbols(texts), tokenizer.symbols(contexts)
    ways = [None if a and b else reading.text if a else reading.context for a, b in zip(in_text, in_context, strict=True)]
    rests: list[np.ndarray | None] = [None] * len(texts)
    for way in ("text", "parse"):
        where = [i for i, own in enumerate(ways) if own == way]
        before, after, ids = [contexts[i] for i in where], [texts[i] for i in where], [context_ids[i] for i in where]
        for i, rest in zip(where, _rests(tokenizer, before, after, ids, Reading(way, way)), strict=True):
            rests[i] = rest
    yield from rests
