"""The conventions of lm-evaluation-harness: from its texts to token ids, without the harness.

They are those of its model `hf`, version 0.4.13. A request is a context and a continuation. Trailing white space of the context
belongs to the continuation; both are encoded together, and split where the tokens of the context alone would end. The
tokenizer alone decides on a start symbol. Only an empty context is replaced by a symbol, the prefix.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from chainrule._types import Ints
from chainrule.errors import InputError, short
from chainrule.text.added_symbols import encode_with_symbols
from chainrule.text.base import TokenizerLike
from chainrule.text.start_end import Start

UNBOUNDED = 2048  # the harness's longest context, in tokens, where neither config nor tokenizer names one
_LENGTHS = ("n_positions", "max_position_embeddings", "n_ctx")  # of a config, in the harness's order
_NO_LENGTH = 10**29  # a tokenizer without a longest text names a larger number


@dataclass(frozen=True)
class Part:
    """Token ids to score, and those before them."""

    context_ids: Ints  # at least one; requests with the same context share the array
    ids: Ints  # at least one


@dataclass(frozen=True)
class Convention:
    """How texts become token ids.

    max_length: the most tokens that a factor is conditioned on. start: None: the tokenizer decides on the start symbol, as in
    the harness; a start: its symbol is put before every text instead, unless the text names it.
    """

    tokenizer: TokenizerLike
    max_length: int
    start: Start | None = None

    @property
    def prefix_id(self) -> int:
        """The symbol in place of an empty context: BOS, else EOS. Raises InputError if there is none."""
        for id in (None if self.start is None else self.start.id, self.tokenizer.bos_id, self.tokenizer.eos_id):
            if id is not None:
                return id
        raise InputError(
            "the tokenizer has neither BOS nor EOS, and the harness puts one before an empty context: choose start=, a token id"
        )

    def encode(self, texts: Iterable[str], *, start: bool = True) -> dict[str, list[int]]:
        """The ids of every text. start: with the symbols that the convention adds. Names of control symbols are symbols."""
        unique = list(dict.fromkeys(texts))
        adds = start and self.start is None
        prefix = self._prefix_text if adds else ""
        named = [bool(prefix) and text.startswith(prefix) for text in unique]
        ids: dict[str, list[int]] = {}
        for add in (True, False):
            chosen = [text for text, one in zip(unique, named, strict=True) if (adds and not one) == add]
            ids |= zip(chosen, encode_with_symbols(self.tokenizer, chosen, add=add), strict=True)
        if start and self.start is not None and (id := self.start.id) is not None:
            ids = {text: own if own[:1] == [id] else [id, *own] for text, own in ids.items()}
        return ids

    def parts(self, requests: Sequence[tuple[str, str]]) -> list[Part]:
        """The part to score of every request (context, continuation). Raises InputError, with its number, if there is none."""
        moved = [_with_trailing_space(*request) for request in requests]
        whole = self.encode(context + text for context, text in moved)
        contexts = self.encode(context for context, _ in moved)
        alone = self.encode((text for context, text in requests if not context), start=False)
        arrays: dict[str, Ints] = {context: np.array(ids, np.int64) for context, ids in contexts.items()}
        parts = []
        for i, ((given, _), (context, text)) in enumerate(zip(requests, moved, strict=True)):
            if given and len(arrays[context]):
                context_ids, ids = arrays[context], whole[context + text][len(arrays[context]) :]
            else:
                own = whole[context + text] if given else alone[text]
                context_ids, ids = np.array([self.prefix_id], np.int64), own[own[:1] == [self.prefix_id] :]
            parts.append(self._checked(i, requests[i], Part(context_ids, np.array(ids, np.int64))))
        return parts

    def windows(self, text: str) -> list[Part]:
        """The windows of a text of any length. Each token is scored once, after as many others as possible.

        The text follows the prefix. The last window is moved back, so that its contexts are long too.
        """
        ids, most = np.array(self.encode([text])[text], np.int64), self.max_length
        before = np.concatenate([np.array([self.prefix_id], np.int64), ids])
        parts = []
        for first in range(0, len(ids), most):
            last = min(first + most, len(ids))
            parts.append(Part(before[max(0, last - most) : first + 1], ids[first:last]))
        return parts

    def cut(self, part: Part) -> Part:
        """The part with the nearest tokens of its context, as many as `max_length` admits."""
        keep = self.max_length + 1 - len(part.ids)
        return part if len(part.context_ids) <= keep else replace(part, context_ids=part.context_ids[-keep:])

    @property
    def _prefix_text(self) -> str:
        """The name of the prefix: a text that begins with it gets no further symbol."""
        try:
            return self.tokenizer.token_bytes(self.prefix_id).decode("utf-8", "replace")
        except InputError:
            return ""

    def _checked(self, i: int, request: tuple[str, str], part: Part) -> Part:
        context, text = request
        if not len(part.ids):
            raise InputError(f"the continuation {short(text)} has no tokens of its own after the context {short(context)}", i)
        if (count := len(part.ids)) > self.max_length:
            raise InputError(f"the continuation {short(text)} has {count} tokens, but max_length is {self.max_length}", i)
        return part


def _with_trailing_space(context: str, continuation: str) -> tuple[str, str]:
    kept = context.rstrip()
    return kept, context[len(kept) :] + continuation


def longest_context(config: Any, tokenizer: TokenizerLike) -> int:
    """The harness's default of `max_length`, from a config of transformers (None: there is none) and a tokenizer."""
    config = getattr(config, "text_config", None) or config
    for name in _LENGTHS:
        if (value := getattr(config, name, None)) is not None:
            return int(value)
    length = getattr(getattr(tokenizer, "hf", None), "model_max_length", None)
    return UNBOUNDED if length is None or length > _NO_LENGTH else int(length)
