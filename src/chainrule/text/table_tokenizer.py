"""The tokenizer of a table model: texts are split into characters or words of its vocabulary."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from chainrule.errors import InputError
from chainrule.text.base import SpaceMark, Spans
from chainrule.text.reading import Special
from chainrule.text.spans import align, words_by_space
from chainrule.text.stable_prefix import EMPTY_PREFIX, StablePrefix


def _has_space(token: str) -> bool:
    return any(character.isspace() for character in token)


class Vocabulary:
    """Token i is tokens[i].

    Texts are split into characters if all tokens are single characters; from left to right into the longest tokens, if some
    tokens contain white space; else at white space.
    """

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
        single, spaces = all(len(token) == 1 for token in self.tokens), any(map(_has_space, self.tokens))
        self.space_mark: SpaceMark | None = None if single or spaces else "whole"
        self._longest_first = sorted(self.tokens, key=len, reverse=True)

    def encode(self, text: str, special: Special = "text") -> np.ndarray:
        parts = text.split() if self.space_mark == "whole" else list(self._longest(text))
        unknown = [part for part in parts if part not in self._ids]
        if unknown:
            raise InputError(f"{unknown[0]!r} is not in the vocabulary {self.tokens}")
        return np.array([self._ids[part] for part in parts], np.int64)

    def _longest(self, text: str) -> Iterator[str]:
        """The text in the longest tokens; a character that begins none is a part of its own."""
        at = 0
        while at < len(text):
            part = next((token for token in self._longest_first if token and text.startswith(token, at)), text[at])
            yield part
            at += len(part)

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
