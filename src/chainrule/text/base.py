"""What the package needs of a tokenizer, and the spans that one returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from chainrule.text.align import Span
from chainrule.text.reading import Special
from chainrule.text.stable_prefix import StablePrefix

# How tokens show the spaces of a text that are dropped: tokens that join the one before are marked ("before": '##'), the ends
# of words are ("after": '</w>'), or every token is a word ("whole"). None: spaces are characters of tokens.
SpaceMark = Literal["before", "after", "whole"]


@dataclass(frozen=True)
class Spans:
    """The spans of the tokens of a text: one half-open span per token, in order. They overlap only within a character.

    byte_spans: offsets into the UTF-8 bytes of the text. char_spans: the characters of which the token holds any byte.
    exact: whether the tokens spell the text byte for byte. One space that the tokenizer adds at either end is allowed.
    """

    byte_spans: list[Span]
    char_spans: list[Span]
    exact: bool


class TokenizerLike(Protocol):
    """The interface of a tokenizer. `chainrule.text.Tokenizer` and a table model's `Vocabulary` implement it."""

    bos_id: int | None
    eos_id: int | None
    cls_id: int | None
    sep_id: int | None
    unk_id: int | None
    mask_id: int | None
    special_ids: frozenset[int]

    @property
    def known_ids(self) -> np.ndarray: ...
    @property
    def space_mark(self) -> SpaceMark | None: ...
    def encode(self, text: str, special: Special = ...) -> np.ndarray: ...
    def encode_batch(self, texts: Sequence[str], special: Special = ...) -> list[np.ndarray]: ...
    def encode_continuations(self, texts: Sequence[str], special: Special = ...) -> list[np.ndarray]: ...
    def symbols(self, texts: Sequence[str]) -> list[str | None]: ...
    def token_bytes(self, id: int) -> bytes: ...
    def token(self, id: int) -> str: ...
    def spans(self, text: str, ids: Sequence[int] | np.ndarray) -> Spans: ...
    def words(self, text: str, ids: Sequence[int] | np.ndarray) -> np.ndarray: ...
    def stable_prefix(self, text: str) -> StablePrefix: ...


def token_formatter(tokenizer: TokenizerLike | None) -> Callable[[int], str]:
    """A function that shows a token by its id. Without a tokenizer it shows the id itself, as <id>."""
    return tokenizer.token if tokenizer else "<{}>".format
