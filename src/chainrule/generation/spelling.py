"""The text that generated tokens spell."""

from __future__ import annotations

from collections.abc import Iterable

from chainrule.text.base import TokenizerLike
from chainrule.text.reading import Special


def text_of(ids: Iterable[int], tokenizer: TokenizerLike | None) -> str | None:
    """The text that the tokens spell; None if it is empty or contains an incomplete character."""
    if tokenizer is None:
        return None
    raw = b"".join(tokenizer.token_bytes(int(id)) for id in ids)
    text = raw.decode("utf-8", "replace")
    return text if text and text.encode() == raw else None


def special_of(ids: Iterable[int], tokenizer: TokenizerLike | None) -> Special | None:
    """How to read names of control symbols in the text of these tokens: "parse" if any token is such a symbol, else None."""
    symbols = tokenizer.special_ids - {tokenizer.unk_id} if tokenizer else frozenset()
    return None if symbols.isdisjoint(map(int, ids)) else "parse"
