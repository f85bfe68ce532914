"""The bytes of a token, from its string in the vocabulary.

A tokenizer writes its vocabulary in one of a few conventions: an alphabet for bytes (GPT-2), '▁' for a space
(SentencePiece), '##' for "no space before" (WordPiece), '</w>' for "a space after" (the first BPE). A `Spelling` is
the convention of one tokenizer. Offsets and `decode` are not enough: offsets count characters, and a token may hold part of
a character; the result of `decode` for a token depends on its neighbours.
"""

import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_MARK_SHARE = 0.02  # a mark on a smaller share of the tokens is treated as text


@dataclass(frozen=True)
class Spelling:
    """How one tokenizer writes bytes as a string. Called with a token's string, it returns the token's bytes.

    A word-based tokenizer drops spaces and marks where tokens join. Each word then gets one space, before it ('##', for
    "joined to the left") or after it ('</w>'). The first or the last of these spaces is not in the text.
    """

    alphabet: Literal["utf-8", "gpt2", "latin-1"] = "utf-8"  # gpt2: 256 printable characters; latin-1: U+00E2 is E2
    replace: tuple[tuple[str, str], ...] = ()  # '▁' → ' '
    byte_fallback: bool = False  # '<0xE2>' is the byte E2
    words: bool = False  # a token begins a word, unless it has the prefix `joined_left`
    joined_left: str = ""  # '##'
    word_end: str = ""  # '</w>': a token that has this suffix ends a word
    joined_right: str = ""  # '@@': a token that lacks this suffix ends a word

    def __call__(self, token: str) -> bytes:
        """The bytes of a token of the vocabulary (not of an added token, whose bytes are its content)."""
        if self.byte_fallback and (byte := _BYTE_TOKEN.fullmatch(token)):
            return bytes([int(byte[1], 16)])
        before = after = b""
        if self.joined_left and token.startswith(self.joined_left):
            token = token.removeprefix(self.joined_left)
        elif self.words:
            before = b" "
        if self.word_end and token.endswith(self.word_end):
            token, after = token.removesuffix(self.word_end), b" "
        if self.joined_right:
            after = b"" if token.endswith(self.joined_right) else b" "
            token = token.removesuffix(self.joined_right)
        for old, new in self.replace:
            token = token.replace(old, new)
        return before + self._encode(token) + after

    def _encode(self, token: str) -> bytes:
        if self.alphabet == "gpt2" and all(character in gpt2_alphabet() for character in token):
            return bytes(gpt2_alphabet()[character] for character in token)
        if self.alphabet == "latin-1" and all(ord(character) < 256 for character in token):
            return token.encode("latin-1")
        return token.encode()


@cache
def gpt2_alphabet() -> dict[str, int]:
    """GPT-2's character for each byte: itself where it prints, else the next free one from U+0100 on ('Ġ' is 20)."""
    printing = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printing]
    return {chr(byte): byte for byte in printing} | {chr(256 + rank): byte for rank, byte in enumerate(others)}


def spelling_of_backend(backend: Any) -> Spelling:
    """The convention of a `tokenizers.Tokenizer`, read from its decoder, or else from its pre-tokenizer and model."""
    steps = list(steps_of(backend.decoder)) or list(steps_of(backend.pre_tokenizer))
    kinds = {step["type"] for step in steps}
    by_kind = {step["type"]: step for step in steps}
    joined_left = by_kind.get("WordPiece", {}).get("prefix") or _setting(backend, "continuing_subword_prefix")
    return Spelling(
        alphabet="gpt2" if "ByteLevel" in kinds else "utf-8",
        replace=tuple(_replacements(steps)),
        byte_fallback="ByteFallback" in kinds or bool(_setting(backend, "byte_fallback")),
        words=bool(joined_left) or type(backend.model).__name__ == "WordLevel",
        joined_left=joined_left,
        word_end=_setting(backend, "end_of_word_suffix") or by_kind.get("BPEDecoder", {}).get("suffix", ""),
    )


def spelling_of_vocabulary(tokens: Collection[str], byte_characters: bool) -> Spelling:
    """The convention of a tokenizer written in Python, which has no pipeline: inferred from the marks on its tokens.

    `byte_characters`: the tokenizer writes each byte as the character with that code point, as ByT5 does.
    """
    if byte_characters:
        return Spelling(alphabet="latin-1")
    spellings = {
        "▁": Spelling(replace=(("▁", " "),), byte_fallback=True),
        "##": Spelling(words=True, joined_left="##"),
        "</w>": Spelling(word_end="</w>"),
        "@@": Spelling(joined_right="@@"),
    }
    counts = dict.fromkeys(spellings, 0)
    for token in tokens:
        for mark in counts:
            counts[mark] += token != mark and (token.startswith(mark) or token.endswith(mark))
    mark = max(counts, key=lambda each: counts[each])
    return spellings[mark] if counts[mark] > _MARK_SHARE * len(tokens) else Spelling()


def steps_of(component: Any) -> Iterator[dict[str, Any]]:
    """The steps of a backend's normalizer, pre-tokenizer or decoder (None: no steps), with sequences flattened."""
    if component is None:
        return
    yield from _flat(json.loads(component.__getstate__()))


def _flat(step: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if step["type"] != "Sequence":
        yield step
        return
    for name in ("normalizers", "pretokenizers", "decoders"):
        for inner in step.get(name, ()):
            yield from _flat(inner)


def _replacements(steps: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    for step in steps:
        if step["type"] == "Metaspace":
            yield step["replacement"], " "
        if step["type"] == "Replace" and (old := step["pattern"].get("String")):
            yield old, step["content"]


def _setting(backend: Any, name: str) -> Any:
    return getattr(backend.model, name, None) or ""
