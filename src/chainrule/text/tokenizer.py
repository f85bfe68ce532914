"""A tokenizer: text to token ids and back to bytes. Nothing is added, truncated or guessed.

It wraps a transformers tokenizer and mostly uses its Rust backend. Code specific to one family of tokenizers is in
`chainrule.text.token_bytes`.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule._warnings import quiet
from chainrule.errors import InputError, ModelError
from chainrule.text.align import Span
from chainrule.text.backends import answering, encoded, literal, whole, without_first_space
from chainrule.text.base import SpaceMark, Spans
from chainrule.text.reading import Special, holding, names_of
from chainrule.text.spans import align, spells, words_by_space
from chainrule.text.stable_prefix import EMPTY_PREFIX, StablePrefix, encodes_words_separately, find_stable_prefix
from chainrule.text.token_bytes import Spelling, spelling_of_backend, spelling_of_vocabulary

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_CHUNK = 4096  # texts encoded at a time: the backend's results are many times the size of the ids
_HEAD = 1 << 24  # bytes of a .gguf file that hold the names of its metadata
_FILES = re.compile(r"(tokenizer|vocab|merges|spiece|sentencepiece|spm|bpe|dict|tekken)")


class Tokenizer:
    """The tokenizer of one model: `encode` turns text into ids, `token_bytes` an id into bytes.

    bos_id, eos_id, cls_id, sep_id, unk_id, mask_id are None if the tokenizer has no such symbol.
    """

    def __init__(self, hf: "PreTrainedTokenizerBase") -> None:
        self.hf = hf
        self.bos_id: int | None = hf.bos_token_id
        self.eos_id: int | None = hf.eos_token_id
        self.cls_id: int | None = hf.cls_token_id
        self.sep_id: int | None = hf.sep_token_id
        self.unk_id: int | None = hf.unk_token_id
        self.mask_id: int | None = hf.mask_token_id
        self._backend: Any = getattr(hf, "backend_tokenizer", None)  # None: written in Python
        self._added: dict[int, str] = {id: str(added.content) for id, added in hf.added_tokens_decoder.items()}
        self._pieces: dict[int, bytes] = {}  # cache of token bytes, by id
        special = {id for id, added in hf.added_tokens_decoder.items() if added.special}
        self.special_ids: frozenset[int] = frozenset(special.union(id for id in hf.all_special_ids if id is not None))

    @classmethod
    def load(cls, path: str, *, gguf_file: str | None = None, local_files_only: bool = True) -> "Tokenizer | None":
        """The tokenizer in a model's folder, or in its .gguf file of that name; None if there is none.

        Raises ModelError if the tokenizer cannot be read, or only by running code that came with the model.
        """
        if Path(path).is_dir() and not _has_tokenizer(Path(path), gguf_file):
            return None
        options: dict[str, Any] = {"local_files_only": local_files_only, "trust_remote_code": False}
        if gguf_file is not None:
            options["gguf_file"] = gguf_file
        remedy = " (code that comes with a model is never run). Score token ids instead, or repair the folder."
        with answering(f"The tokenizer in {path} cannot be read", remedy), quiet():
            from transformers import AutoTokenizer

            hf: Any = AutoTokenizer.from_pretrained(path, **options)
        if len(hf.get_vocab()) <= len(hf.added_tokens_decoder):
            raise ModelError(f"The tokenizer in {path} has no vocabulary: is its tokenizer.json or vocabulary file missing?")
        return cls(hf)

    @cached_property
    def size(self) -> int:
        """One more than the largest id, added tokens included."""
        return max(self.hf.get_vocab().values(), default=-1) + 1

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all that decides how it encodes, as "sha256:…": two tokenizers with the same digest give the same ids."""
        state: Any = {
            "class": type(self.hf).__name__,
            "backend": None if self._backend is None else json.loads(self._backend.to_str()),
            "vocabulary": self.hf.get_vocab() if self._backend is None else None,
            "special": sorted(self.special_ids),
        }
        return f"sha256:{hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()}"

    @cached_property
    def known_ids(self) -> np.ndarray:
        """The ids that have a token, added tokens included, ascending: int64."""
        return np.unique(np.fromiter(self.hf.get_vocab().values(), np.int64))

    def encode(self, text: str, special: Special = "text") -> np.ndarray:
        """The ids of the tokens of the text, int64. The whole text is encoded, and no start or end symbol is added.

        special: how the name of a control symbol in the text is read: "text", like the rest, or "parse", as the symbol.
        """
        return self.encode_batch([text], special)[0]

    def encode_batch(self, texts: Sequence[str], special: Special = "text") -> list[np.ndarray]:
        """`encode` for many texts at a time.

        Raises InputError for a text that is not Unicode text, or that has no tokens without control symbols.
        """
        return self._read(texts, special, continues=False)

    def encode_continuations(self, texts: Sequence[str], special: Special = "text") -> list[np.ndarray]:
        """The ids of texts that follow other text: without the space that some tokenizers add before a text.

        For a tokenizer written in Python, that space cannot be avoided.
        """
        return self._read(texts, special, continues=True)

    def symbols(self, texts: Sequence[str]) -> list[str | None]:
        """The first control symbol that each text names; None if it names none."""
        if self._names is None:
            return [None] * len(texts)
        matches = map(self._names.search, texts)
        return [match.group() if match else None for match in matches]

    def stable_prefix(self, text: str) -> StablePrefix:
        """The part of a text whose tokens do not depend on the text after it; (0, 0) if it cannot be determined.

        Names of control symbols in the text are read as the symbols.
        """
        if not self._words_alone:
            return EMPTY_PREFIX
        check_text(text)
        whole(self._backend)
        with answering():
            return find_stable_prefix(self._backend, text, self.token_bytes)

    def token_bytes(self, id: int) -> bytes:
        """The bytes of a token; empty for an id without a token."""
        piece = self._pieces.get(id)
        if piece is None:
            piece = self._pieces[int(id)] = self._piece(int(id))
        return piece

    def token(self, id: int) -> str:
        """The text of a token for display, with escapes for bytes of incomplete characters."""
        raw = self.token_bytes(id)
        return raw.decode("utf-8", "backslashreplace") if raw or int(id) in self._added else f"<{int(id)}>"

    def spans(self, text: str, ids: Sequence[int] | np.ndarray) -> Spans:
        """The spans of the tokens `ids` in the text."""
        pieces = [self.token_bytes(id) for id in ids]
        if spells(text, pieces):
            return align(text, pieces)
        pieces = [b"" if id == self.unk_id else piece for id, piece in zip(ids, pieces, strict=True)]
        return align(text, pieces, self._offsets(text, ids))

    def words(self, text: str, ids: Sequence[int] | np.ndarray) -> np.ndarray:
        """The number of the word of each of the tokens `ids`: ascending from 0, int64.

        Words are those of the tokenizer; they are split at white space if it has none, or would give other tokens.
        """
        for backend in self._backends(text):
            encoding = None if backend is None else encoded(backend, text)
            if encoding is not None and np.array_equal(encoding.ids, ids) and None not in encoding.word_ids:
                return np.unique(encoding.word_ids, return_inverse=True)[1].astype(np.int64)
        return words_by_space(text, self.spans(text, ids))

    @property
    def space_mark(self) -> SpaceMark | None:
        """How tokens show the spaces of a text that the tokenizer drops; None: spaces are characters of tokens."""
        if self._spelling.words:
            return "before"
        return "after" if self._spelling.word_end or self._spelling.joined_right else None

    @cached_property
    def _spelling(self) -> Spelling:
        if self._backend is not None:
            return spelling_of_backend(self._backend)
        return spelling_of_vocabulary(self.hf.get_vocab(), byte_characters=self.hf.tokenize("é") == ["Ã", "©"])

    @cached_property
    def _continuation_backend(self) -> Any:
        """The backend without the steps that add a space before a text; the backend itself if it has none."""
        return None if self._backend is None else without_first_space(self._backend)

    @cached_property
    def _literal(self) -> Any:
        """The backend that encodes names of control symbols as plain text."""
        return literal(self._backend, self.special_ids)

    @cached_property
    def _literal_continuation(self) -> Any:
        return literal(self._continuation_backend, self.special_ids)

    @cached_property
    def _names(self) -> re.Pattern[str] | None:
        return names_of(self.token_bytes(id).decode("utf-8", "replace") for id in self.special_ids)

    @cached_property
    def _controls(self) -> np.ndarray:
        """The control symbols, without the unknown token, which can also occur in plain text."""
        return np.array(sorted(self.special_ids - {self.unk_id}), np.int64)

    def _backends(self, text: str) -> Iterator[Any]:
        """All backends that could have encoded the text, the likeliest first."""
        if self._backend is not None:
            yield self._backend
            yield self._continuation_backend
            if self.symbols([text])[0] is not None:
                yield self._literal
                yield self._literal_continuation

    @cached_property
    def _words_alone(self) -> bool:
        return self._backend is not None and encodes_words_separately(self._backend)

    def _piece(self, id: int) -> bytes:
        if (content := self._added.get(id)) is not None:
            return content.encode()
        token = self._string(id)
        return b"" if token is None else self._spelling(token)

    def _string(self, id: int) -> str | None:
        if not 0 <= id < self.size:
            return None
        if self._backend is not None:
            return self._backend.id_to_token(id)
        token: Any = self.hf.convert_ids_to_tokens(id)
        return token

    def _read(self, texts: Sequence[str], special: Special, *, continues: bool) -> list[np.ndarray]:
        for text in texts:
            check_text(text)
        batch = self._tokens(texts, self._continuation_backend if continues else self._backend)
        if special == "parse":
            return batch
        with_symbols = {i for i, symbol in enumerate(self.symbols(texts)) if symbol is not None}
        where = sorted(with_symbols.union(holding(batch, self._controls)))
        if where:
            again = self._literally([texts[i] for i in where], continues=continues)
            for i, ids in zip(where, again, strict=True):
                batch[i] = ids
        return batch

    def _literally(self, texts: Sequence[str], *, continues: bool) -> list[np.ndarray]:
        """Texts that name control symbols, as plain text."""
        backend = None if self._backend is None else self._literal_continuation if continues else self._literal
        batch = self._tokens(texts, backend, literally=True)
        for i in holding(batch, self._controls):
            raise InputError(
                f"this tokenizer has no tokens for {self.symbols(texts)[i]} except the control symbol itself, so the text "
                f"{texts[i]!r:.60} cannot be read as plain text; special='parse' reads it as the symbol"
            )
        return batch

    def _tokens(self, texts: Sequence[str], backend: Any, literally: bool = False) -> list[np.ndarray]:
        """The ids from a backend, or, without one, from the tokenizer written in Python."""
        with answering():
            if backend is None:
                tokens = [self.hf.tokenize(text, split_special_tokens=literally) for text in texts]
                return [np.array(self.hf.convert_tokens_to_ids(each), np.int64) for each in tokens]
            whole(backend)
            chunks = (texts[start : start + _CHUNK] for start in range(0, len(texts), _CHUNK))
            encodings = (each for chunk in chunks for each in backend.encode_batch_fast(chunk, add_special_tokens=False))
            return [np.array(encoding.ids, np.int64) for encoding in encodings]

    def _offsets(self, text: str, ids: Sequence[int] | np.ndarray) -> list[Span] | None:
        """The offsets of the tokens from the first backend that gives these ids; None if there is no such backend."""
        encodings = (encoded(backend, text) for backend in self._backends(text))
        return next((encoding.offsets for encoding in encodings if np.array_equal(encoding.ids, ids)), None)


def _has_tokenizer(folder: Path, gguf_file: str | None) -> bool:
    if gguf_file is not None:
        with open(folder / gguf_file, "rb") as file:
            return b"tokenizer.ggml.tokens" in file.read(_HEAD)
    return any(_FILES.match(name) or name.endswith((".tiktoken", ".spm")) for name in os.listdir(folder))


def check_text(text: str, item: int | None = None) -> None:
    """Raises InputError if it is not Unicode text."""
    if not isinstance(text, str):
        raise InputError(f"a text must be a str, not {type(text).__name__}: {text!r:.60}", item)
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"The text is not Unicode: character {error.start} is half of a surrogate pair "
            f"(U+{ord(text[error.start]):04X}). Read the file as UTF-8, or replace that character.",
            item,
        ) from error
