"""The tokenizer of a table model: texts are split into characters or words of its vocabulary."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from chainrule.errors import InputError
from chainrule.text.base import Spans
from chainrule.text.reading import Special
from chainrule.text.spans import align, words_by_space
from chainrule.text.stable_prefix import EMPTY_PREFIX, StablePrefix


class Vocabulary:
    """Token i is tokens[i]. Texts are split into characters if all tokens are single characters, else at white space."""

    bos_id: int | None = None
    eos_id: int | None = None
    cls_id: int | None = None
    sep_id: int | None = None
    unk_id: int | None = None
    mask_id: int | None = None
    special_ids: frozenset[int] = frozenset()

    def __init__(self, tokens: Sequence[str]) -> None:
        self.tokens = list(tokens)
        self.size = len(self.tokens)
        self.known_ids = np.arange(self.size)
        self._ids = {token: i for i, token in enumerate(self.tokens)}
        self._single = all(len(token) == 1 for token in self.tokens)

    def encode(self, text: str, special: Special = "text") -> np.ndarray:
        parts = list(text) if self._single else text.split()
        unknown = [part for part in parts if part not in self._ids]
        if unknown:
            raise InputError(f"{unknown[0]!r} is not in the vocabulary {self.tokens}")
        return np.array([self._ids[part] for part in parts], np.int64)

    def encode_batch(self, texts: Sequence[str], special: Special = "text") -> list[np.ndarray]:
        return [self.encode(text) for text in texts]

    encode_continuations = encode_batch

    def symbols(self, texts: Sequence[str]) -> list[str | None]:
        return [None] * len(texts)

    def stable_prefix(self, text: str) -> StablePrefix:
        return EMPTY_PREFIX

    def token_bytes(self, id: int) -> bytes:
        return self.tokens[id].encode() if 0 <= id < self.size else b""

    def token(self, id: int) -> str:
        return self.tokens[id] if 0 <= id < self.size else "<start>" if id == self.size else f"<{id}>"

    def spans(self, text: str, ids: Sequence[int] | np.ndarray) -> Spans:
        return align(text, [self.token_bytes(int(id)) for id in ids])

    def words(self, text: str, ids: Sequence[int] | np.ndarray) -> np.ndarray:
        return words_by_space(text, self.spans(text, ids))
