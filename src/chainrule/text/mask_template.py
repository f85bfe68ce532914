"""The symbols around a text of a masked model, its mask, and the tokens that can occur: [CLS] x_0 … [MASK] … [SEP].

Shapes: V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from chainrule._types import Ints
from chainrule.errors import ModelError
from chainrule.text.base import TokenizerLike, token_formatter

_NAMED = 8  # symbols written out


@dataclass(frozen=True)
class MaskTemplate:
    """The symbols before and after a text, the mask at unseen positions, and the ids that cannot occur in a text."""

    before: int
    after: int
    mask: int
    excluded: Ints  # ids that cannot occur, ascending
    description: str  # a description of `excluded`, in one line
    token: Callable[[int], str]


def resolve_mask_template(
    tokenizer: TokenizerLike | None, config: Mapping[str, int | None], *, vocab_size: int, embeddings: int, model: str
) -> MaskTemplate:
    """The template of a masked model with `vocab_size` logits and `embeddings` rows in its embedding table.

    Each symbol is the tokenizer's, else the one in the model's config: cls, else bos, before the text; sep, else eos, after
    it. The tokenizer's special symbols cannot occur in a text, except for the unknown token, and neither can ids without a
    token. Without a tokenizer, the symbols in the config cannot occur. Raises ModelError if a symbol is not known.
    """
    find = lambda *kinds: _symbol(tokenizer, config, embeddings, model, kinds)  # noqa: E731
    before, after, mask = find("cls", "bos"), find("sep", "eos"), find("mask")
    token = token_formatter(tokenizer)
    symbols, unknown = _impossible(tokenizer, config, vocab_size, {before, after, mask})
    return MaskTemplate(
        before, after, mask, np.union1d(symbols, unknown), _describe(symbols, unknown, vocab_size, token), token
    )


def _symbol(
    tokenizer: TokenizerLike | None, config: Mapping[str, int | None], embeddings: int, model: str, kinds: tuple[str, ...]
) -> int:
    candidates = [getattr(tokenizer, f"{kind}_id", None) for kind in kinds] + [config.get(kind) for kind in kinds]
    for id in candidates:
        if isinstance(id, int) and 0 <= id < embeddings:
            return id
    names = " or ".join(f"{kind}_token" for kind in kinds)
    raise ModelError(
        f"{model} is a masked model, but neither its tokenizer nor its config has a {names} among its {embeddings} ids: set "
        f"{kinds[0]}_token_id in its config.json, or the {kinds[0]}_token of its tokenizer"
    )


def _impossible(
    tokenizer: TokenizerLike | None, config: Mapping[str, int | None], vocab_size: int, used: set[int]
) -> tuple[Ints, Ints]:
    """The symbols that cannot occur in a text, and the ids without a token; both ascending."""
    unknown = config.get("unk") if tokenizer is None else tokenizer.unk_id
    special = {id for id in config.values() if isinstance(id, int)} if tokenizer is None else tokenizer.special_ids
    symbols = np.array(sorted(id for id in (special - {unknown}) | used if 0 <= id < vocab_size), np.int64)
    known = np.arange(vocab_size) if tokenizer is None else tokenizer.known_ids
    return symbols, np.setdiff1d(np.arange(vocab_size), np.union1d(known, symbols))


def _describe(symbols: Ints, unknown: Ints, vocab_size: int, token: Callable[[int], str]) -> str:
    names = ", ".join(token(id) for id in symbols[:_NAMED].tolist()) + ", …" * (len(symbols) > _NAMED)
    beyond = f" and {len(unknown)} ids without a token" if len(unknown) else ""
    left = len(symbols) + len(unknown)
    return f"{left} of {vocab_size} ids cannot occur and have probability 0: {len(symbols)} symbols ({names}){beyond}"
