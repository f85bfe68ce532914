"""Token ids of texts as transformers' tokenizers give them, with the symbols that they add around a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chainrule.text.backends import answering
from chainrule.text.base import TokenizerLike


def encode_with_symbols(tokenizer: TokenizerLike, texts: Sequence[str], *, add: bool) -> list[list[int]]:
    """The ids of every text. Names of control symbols are read as the symbols.

    add: with the symbols that the tokenizer adds around a text, such as BOS, if it adds any. That of a table adds none.
    """
    hf: Any = getattr(tokenizer, "hf", None)
    if hf is None or not texts:
        return [ids.tolist() for ids in tokenizer.encode_batch(texts, "parse")]
    with answering():
        encodings = hf(
            list(texts), add_special_tokens=add, return_attention_mask=False, return_token_type_ids=False, verbose=False
        )
    return encodings["input_ids"]
