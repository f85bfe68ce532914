"""Which tokens begin a word: the sets for the probability that a word ends (Pimentel and Meister 2024, arXiv 2406.14561; Oh
and Schuler 2024, arXiv 2406.10851).

Most tokenizers mark the beginning of a word, by a space. That a word ends is then decided by the next token: it begins with
a space, or the text ends. The sets come from the bytes of the tokens, so they hold for every tokenizer:

    white space    after a character: tokens that begin with white space. After white space: any token.
    UAX 29         after a letter, digit …: tokens before which Unicode Standard Annex 29 has a word boundary, as far as the
                   token's own characters show it. After other characters: any token.
    first word     tokens that begin with white space, or tokens that do not: as the first token of the text does.

Control symbols, the end symbol among them, are in every set: no word goes on after them. Ids without a token are in none.
Some tokenizers drop the spaces of a text and mark where tokens join ('##', '</w>'). "boats." and "boats ." are then the same
tokens; the rule is that punctuation, but opening brackets and quotes, continues a word of white space units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import numpy as np
import regex

from chainrule._types import Ints
from chainrule.text.base import TokenizerLike
from chainrule.text.words import UNICODE

FIRST, MARKED, SPACE, COMPLETE = "first", "marked", "space", "complete"  # names of sets
_OPENING = regex.compile(r"[\p{Ps}\p{Pi}]+")
_PUNCTUATION = regex.compile(r"\p{P}+")
_BREAK = regex.compile(r"(?V1w).\b", regex.DOTALL)  # the first character, if there is a word boundary after it
# A character of each class of UAX 29 after which a word may go on
_CLASSES = {
    r"[\p{WB=ALetter}\p{WB=Hebrew_Letter}]": "a",
    r"\p{WB=Numeric}": "1",
    r"\p{WB=Katakana}": "カ",
    r"\p{WB=ExtendNumLet}": "_",
}
_EXEMPLARS = [(regex.compile(pattern), exemplar) for pattern, exemplar in _CLASSES.items()]
_EXTENSIONS = regex.compile(r"[\p{WB=Extend}\p{WB=Format}\p{WB=ZWJ}]+$")  # they belong to the character before


@dataclass(eq=False)
class _Vocabulary:
    """The tokens of a vocabulary by how they begin, and their sets, each computed when it is first needed."""

    texts: dict[int, str]  # of every token that is text: its whole characters up to the first that is not whole
    control: Ints  # symbols that are no text
    sets: dict[tuple[str, bool], Ints] = field(default_factory=dict)

    @classmethod
    def of(cls, tokenizer: TokenizerLike, size: int, ends: Sequence[int]) -> _Vocabulary:
        """ends: ids of end symbols, which are no text."""
        unknown = {tokenizer.unk_id} - {None}
        control = (tokenizer.special_ids | set(ends)) - unknown
        texts = {}
        for id in tokenizer.known_ids.tolist():
            if id < size and id not in control and id not in unknown and (raw := tokenizer.token_bytes(id)):
                texts[id] = _whole_characters(raw)
        return cls(texts, np.array(sorted(id for id in control if 0 <= id < size), np.int64))


def _whole_characters(raw: bytes) -> str:
    """The text of a token up to the first byte that is not part of a whole character."""
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        return raw[: error.start].decode()


# The vocabularies that were read, by tokenizer, and by size and end symbols
_READ: WeakKeyDictionary[TokenizerLike, dict[tuple[int, tuple[int, ...]], _Vocabulary]] = WeakKeyDictionary()


@dataclass(frozen=True)
class WordStarts:
    """The rule by which words begin, for one tokenizer, vocabulary and kind of units."""

    tokenizer: TokenizerLike
    size: int  # of the vocabulary
    ends: tuple[int, ...]  # ids of end symbols
    units: str

    @property
    def name(self) -> str:
        """The rule in a few words, for a column."""
        if self.tokenizer.space_mark == "whole":
            return "every token is a word"
        if self.units == UNICODE:
            return "UAX 29"
        marks = {"before": "joined tokens are marked", "after": "ends of words are marked"}
        mark = marks.get(self.tokenizer.space_mark or "")
        return "white space" if mark is None else f"{mark}; punctuation continues a word"

    def at_start(self, first_token: bytes) -> str | None:
        """The set of the tokens that may begin a text like this one, by its first token; None: any token does."""
        if self.tokenizer.space_mark == "whole":
            return None
        return MARKED if _whole_characters(first_token)[:1].isspace() else FIRST

    def after(self, before: str, token_before: bytes) -> str | None:
        """The set of the tokens that may begin a word here; None: any token does.

        before: the text before, of one character at least. token_before: the token that ends there.
        """
        mark = self.tokenizer.space_mark
        if mark == "after" and token_before[-1:].isspace():
            return None if self.units == UNICODE else COMPLETE
        if mark == "whole" or before[-1].isspace():
            return None
        return _exemplar(before) if self.units == UNICODE and mark is None else SPACE

    def ids(self, name: str) -> Ints:
        """The tokens of a set, ascending."""
        vocabulary, key = self._vocabulary(), (name, self.units == UNICODE)
        if key not in vocabulary.sets:
            own = [id for id, text in vocabulary.texts.items() if self._begins(text, name)]
            vocabulary.sets[key] = np.union1d(np.array(own, np.int64), vocabulary.control)
        return vocabulary.sets[key]

    def _begins(self, text: str, name: str) -> bool:
        continues = self.units != UNICODE and self.tokenizer.space_mark is not None and _is_closing(text.strip())
        match name:
            case "first":
                return not text[:1].isspace()
            case "marked":
                return text[:1].isspace()
            case "space":
                return text[:1].isspace() and not continues
            case "complete":
                return not continues
            case exemplar:
                return bool(text) and _BREAK.match(exemplar + text) is not None

    def _vocabulary(self) -> _Vocabulary:
        read, key = _READ.setdefault(self.tokenizer, {}), (self.size, self.ends)
        if key not in read:
            read[key] = _Vocabulary.of(self.tokenizer, self.size, self.ends)
        return read[key]


def _is_closing(text: str) -> bool:
    """Whether this is punctuation that continues the word before it."""
    return _PUNCTUATION.fullmatch(text) is not None and _OPENING.fullmatch(text) is None


def _exemplar(before: str) -> str | None:
    """A character of the same class as the last one, for UAX 29; None if there is a boundary after every one of its class."""
    before = _EXTENSIONS.sub("", before[-40:])
    return next((exemplar for pattern, exemplar in _EXEMPLARS if pattern.fullmatch(before[-1:])), None)
