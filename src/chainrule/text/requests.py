"""Conversion of user input into what the engine takes: token ids to score, and the token ids of their contexts."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from chainrule._types import Ints
from chainrule._warnings import outside
from chainrule.errors import InputError, short
from chainrule.text.arguments import is_missing, kind_of
from chainrule.text.base import TokenizerLike
from chainrule.text.continuation import Continuation, Segment, encode_after_batch, encode_pair
from chainrule.text.ids import as_ids
from chainrule.text.reading import LITERAL, Reading, Special
from chainrule.text.tokenizer import check_text

_NONE: Ints = np.zeros(0, np.int64)
_NONE.flags.writeable = False


@dataclass(frozen=True, slots=True)
class Request:
    """One sequence to score: `ids` after `context_ids`."""

    ids: Ints
    context_ids: Ints = field(default_factory=lambda: _NONE)
    text: str | None = None
    context: str | None = None
    boundary: Literal["same", "apart"] | None = None
    segments: list[Segment] = field(default_factory=list)
    start_id: int | None = None  # set if the text's format determines it ([CLS] of a pair)
    embeddings: Any = None  # T × D, in place of those of `ids`
    special: Special | None = None  # how control symbols named in the text were read; None: the text names none
    context_special: Special | None = None  # the same for the context

    @property
    def key(self) -> tuple[int, ...]:
        """A key that is equal for two sequences if and only if their tokens and contexts are equal."""
        return (*self.context_ids.tolist(), -1, *self.ids.tolist())


def requests(
    items: Sequence[Any],
    contexts: Sequence[Any] | None,
    tokenizer: TokenizerLike | None,
    vocab_size: int,
    reading: Reading = LITERAL,
) -> list[Request]:
    """The requests for `items`: texts, pairs of texts, or sequences of token ids, each after its context, if any.

    A missing context (None, NaN, NA) and an empty text are no context.
    Raises InputError, with the index of the item, for input that cannot be scored: empty texts, ids out of range, mixed kinds.
    """
    if contexts is not None and len(contexts) != len(items):
        raise InputError(
            f"there are {len(items)} texts and {len(contexts)} contexts; pass one context for all, or one for each text"
        )
    contexts = [None] * len(items) if contexts is None else [_context(context, i) for i, context in enumerate(contexts)]
    by_item: list[Request | None] = [None] * len(items)
    kinds: dict[str, list[int]] = {}
    for i, item in enumerate(items):
        kinds.setdefault(kind_of(item, i), []).append(i)
    for kind, where in kinds.items():
        chosen = [items[i] for i in where]
        before = [contexts[i] for i in where]
        for i, request in zip(where, _MAKE[kind](chosen, before, tokenizer, reading, where), strict=True):
            by_item[i] = request
    batch = [request for request in by_item if request is not None]
    if tokenizer is not None:
        batch = _mark_symbols(batch, tokenizer, reading)
    if not _all_in_range(batch, vocab_size):
        for i, request in enumerate(batch):
            _check_ids(request.ids, vocab_size, i, "token id")
            _check_ids(request.context_ids, vocab_size, i, "context token id")
    return batch


def _context(context: Any, item: int) -> Any:
    """The context itself if it is one text or one sequence of ids; None if there is no context."""
    if is_missing(context) or (isinstance(context, str) and not context):
        return None
    if kind_of(context, item) == "pair":
        raise InputError(f"a context must be one text or one sequence of ids, not a pair of texts: {short(context)}", item)
    return context


def _texts(
    items: list[str], contexts: list[Any], tokenizer: TokenizerLike | None, reading: Reading, where: list[int]
) -> list[Request]:
    tokenizer = require_tokenizer(tokenizer)
    both = [(_plain(text), _plain(context)) for text, context in zip(items, contexts, strict=True)]
    for i, (text, context) in zip(where, both, strict=True):
        if not text:
            raise InputError("an empty text has no token to score", i)
        if context is not None and not isinstance(context, str):
            raise InputError(
                f"the context of a text must be a text, not {short(context)}; to use token ids, pass both as ids", i
            )
        check_text(text, i)
        if context is not None:
            check_text(context, i)
    alone = iter(tokenizer.encode_batch([text for text, context in both if context is None], reading.text))
    with_context = [(context, text) for text, context in both if context is not None]
    continuations = iter(
        encode_after_batch(tokenizer, [c for c, _ in with_context], [text for _, text in with_context], reading)
    )
    batch = [
        Request(next(alone), text=text) if context is None else _continuation_request(text, context, next(continuations))
        for text, context in both
    ]
    for i, request in zip(where, batch, strict=True):
        if not len(request.ids):
            raise InputError(f"the text {request.text!r} has no tokens of its own, so there is nothing to score", i)
    return batch


def _plain(text: Any) -> Any:
    """A text of a subclass of str, such as NumPy's, as a str."""
    return str.__str__(text) if isinstance(text, str) and type(text) is not str else text


def _continuation_request(text: str, context: str, continuation: Continuation) -> Request:
    return Request(continuation.ids, continuation.context_ids, text, context, continuation.boundary)


def _pairs(
    items: list[tuple[str, str]], contexts: list[Any], tokenizer: TokenizerLike | None, reading: Reading, where: list[int]
) -> list[Request]:
    for i, item, context in zip(where, items, contexts, strict=True):
        if context is not None:
            raise InputError("context= cannot be used with a pair of texts", i)
        for text in item:
            check_text(text, i)
    encoded = [encode_pair(require_tokenizer(tokenizer), *item, reading) for item in items]
    texts = [f"{a} {b}" for a, b in items]
    return [Request(p.ids, text=text, segments=p.segments, start_id=p.start_id) for p, text in zip(encoded, texts, strict=True)]


def _given_ids(
    items: list[Any], contexts: list[Any], tokenizer: TokenizerLike | None, reading: Reading, where: list[int]
) -> list[Request]:
    batch = []
    for i, item, context in zip(where, items, contexts, strict=True):
        ids = as_ids(item, i)
        if not len(ids):
            raise InputError("an empty sequence of token ids has nothing to score", i)
        text = context if isinstance(context, str) else None
        if text is not None:
            check_text(text, i)
            context = require_tokenizer(tokenizer).encode_batch([text], reading.context)[0]
        batch.append(Request(ids, as_ids([] if context is None else context, i), context=text))
    return batch


_MAKE = {"text": _texts, "pair": _pairs, "ids": _given_ids}


def _mark_symbols(batch: list[Request], tokenizer: TokenizerLike, reading: Reading) -> list[Request]:
    """The requests, with how control symbols in each were read. Warns if the user did not choose."""
    names, marked = [], list(batch)
    for part, field_name, special in (("text", "special", reading.text), ("context", "context_special", reading.context)):
        reading_of_part: dict[str, Any] = {field_name: special}
        with_part = [(i, text) for i, request in enumerate(batch) if (text := getattr(request, part)) is not None]
        for (i, _), symbol in zip(with_part, tokenizer.symbols([text for _, text in with_part]), strict=True):
            if symbol is not None:
                marked[i] = replace(marked[i], **reading_of_part)
                names.append(symbol)
    if names and not reading.explicit:
        warnings.warn(
            f"a text contains the name of the control symbol {names[0]}, which is read as plain text; special='parse' reads "
            "such names as symbols, and special='text' reads them as text without this warning",
            stacklevel=outside(),
        )
    return marked


def require_tokenizer(tokenizer: TokenizerLike | None) -> TokenizerLike:
    """The tokenizer. Raises InputError if there is none."""
    if tokenizer is None:
        raise InputError("this model has no tokenizer, so it scores token ids and embeddings, not text")
    return tokenizer


def _all_in_range(batch: list[Request], vocab_size: int) -> bool:
    """Check all ids at once. A context that several texts share is checked once."""
    contexts = {id(request.context_ids): request.context_ids for request in batch}.values()
    ids = np.concatenate([_NONE, *(request.ids for request in batch), *contexts])
    return not len(ids) or bool(ids.min() >= 0 and ids.max() < vocab_size)


def _check_ids(ids: Ints, vocab_size: int, index: int, what: str) -> None:
    wrong = np.flatnonzero((ids < 0) | (ids >= vocab_size))
    if len(wrong):
        raise InputError(
            f"{what} {ids[wrong[0]]} at position {wrong[0]} is out of range; the model's ids are 0 … {vocab_size - 1}", index
        )
