"""A model that is served: its name, its prompts as token ids, and the names of its tokens."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from inspect import signature
from typing import Any

import numpy as np

from chainrule._types import Ints
from chainrule.errors import InputError, short
from chainrule.language import LanguageModel
from chainrule.models.identity import identity_of
from chainrule.serving.errors import ApiError
from chainrule.serving.fragments import Fragments
from chainrule.text.added_symbols import encode_with_symbols
from chainrule.text.base import TokenizerLike
from chainrule.text.reading import Reading
from chainrule.text.requests import Request
from chainrule.text.tokenizer import check_text


@dataclass(frozen=True)
class Prompt:
    """Token ids, and the text that was sent; None: ids were sent. added: symbols that were added before and after the text."""

    ids: Ints
    text: str | None = None
    added: tuple[int, int] = (0, 0)


@dataclass(eq=False)
class ServedModel:
    """A language model under a name. Only the model's thread computes with it."""

    name: str
    lm: LanguageModel
    created: int = field(default_factory=lambda: int(time.time()))

    def __post_init__(self) -> None:
        self._lock = threading.Lock()  # tokenizers in Rust must not be set up by two threads at once
        self._by_text = Fragments(self.name_of, self.bytes_of)
        self._by_id = Fragments("token_id:{}".format, self.bytes_of)

    @property
    def max_length(self) -> int | None:
        """The most tokens of a context; None if there is no bound."""
        return self.lm.model.max_rows

    @property
    def vocab_size(self) -> int:
        """The number of token ids."""
        return self.lm.model.head.size

    @cached_property
    def end_id(self) -> int | None:
        """The end symbol, after which texts are not continued; None if there is none."""
        return next(iter(self.lm.scorer.end_ids), None)

    @property
    def symbols(self) -> frozenset[int]:
        """The control symbols."""
        return self.lm.tokenizer.special_ids if self.lm.tokenizer else frozenset()

    @cached_property
    def fingerprint(self) -> str:
        """The revision of the weights, and the type that they are computed in: what a reply depends on beside the request."""
        identity = identity_of(self.lm.model)
        return f"{identity.short_revision or identity.weights} {identity.dtype} chainrule {identity.chainrule}"

    @property
    def tokenizer(self) -> TokenizerLike:
        """Its tokenizer. Raises ApiError if there is none."""
        if self.lm.tokenizer is None:
            raise ApiError(400, f"{self.name} has no tokenizer: send token ids in place of texts", code="no_tokenizer")
        return self.lm.tokenizer

    @cached_property
    def _adds(self) -> bool:
        """Whether the tokenizer adds symbols around a text."""
        hf: Any = getattr(self.tokenizer, "hf", None)
        return hf is not None and hf.num_special_tokens_to_add(pair=False) > 0

    def prompts(self, texts: Sequence[Any], *, add: bool, param: str = "prompt") -> list[Prompt]:
        """Prompts of texts and lists of ids. add: the symbols that the tokenizer adds around a text. Raises ApiError."""
        given = [text for text in texts if isinstance(text, str)]
        encoded = iter(self.encoded(given, add)) if given else iter(())
        prompts = [next(encoded) if isinstance(text, str) else self.of_ids(text, param) for text in texts]
        for prompt in prompts:
            if not len(prompt.ids):
                raise ApiError(
                    400, f"the text {short(prompt.text)} has no tokens, so nothing follows from it: send at least one",
                    param=param, code="empty_prompt",
                )  # fmt: skip
        return prompts

    def of_ids(self, ids: Sequence[int], param: str) -> Prompt:
        """Ids, in the range of the model. Raises ApiError."""
        wrong = next((id for id in ids if not 0 <= id < self.vocab_size), None)
        if wrong is not None:
            message = f"token id {wrong} is out of range: {self.name} has the ids 0 to {self.vocab_size - 1}"
            raise ApiError(400, message, param=param, code="invalid_token")
        return Prompt(np.array(ids, np.int64))

    def requests(self, texts: list[Any], contexts: list[Any], reading: Reading) -> list[Request]:
        """Texts after their contexts, as the library reads them. Raises InputError."""
        with self._lock:
            return self.lm.scorer.requests(texts, contexts, reading)

    def of_chat(self, messages: list[dict[str, Any]], add: bool, options: Mapping[str, Any]) -> Prompt:
        """The prompt that the model's template makes of the messages of a chat. Raises ApiError."""
        hf = getattr(self.tokenizer, "hf", None)
        if hf is None or not getattr(hf, "chat_template", None):
            message = f"{self.name} has no chat template: use /v1/completions, with the prompt as the model was trained on it"
            raise ApiError(400, message, param="messages", code="no_chat_template")
        own = set(signature(hf.apply_chat_template).parameters) | {"messages", "self"}
        own -= {"add_generation_prompt", "continue_final_message", "kwargs"}
        if taken := sorted(own & set(options)):
            message = f"chat_template_kwargs are variables of the template, and {taken[0]!r} is none: leave it out"
            raise ApiError(400, message, param="chat_template_kwargs", code="invalid_value")
        try:
            with self._lock:
                text = hf.apply_chat_template(messages, tokenize=False, **options)
        except Exception as error:  # any that the template raises, such as for roles that do not alternate
            reason = f"the template of {self.name} refuses these messages: {error}"
            raise ApiError(400, reason, param="messages", code="template_error") from None
        return self.prompts([text], add=add, param="messages")[0]

    def text_of(self, ids: Sequence[int]) -> str:
        """The text that ids spell; � for bytes of incomplete characters."""
        return b"".join(map(self.tokenizer.token_bytes, ids)).decode("utf-8", "replace") if self.lm.tokenizer else ""

    def text_of_prompt(self, prompt: Prompt) -> str:
        """The text that was sent, or that the ids spell."""
        return self.text_of(prompt.ids.tolist()) if prompt.text is None else prompt.text

    def bytes_of(self, id: int) -> bytes:
        """The bytes of a token; none without a tokenizer."""
        return self.lm.tokenizer.token_bytes(id) if self.lm.tokenizer else b""

    def name_of(self, id: int) -> str:
        """The text of a token, with escapes for bytes of incomplete characters. Two tokens may have the same text."""
        return self.lm.tokenizer.token(id) if self.lm.tokenizer else f"<{id}>"

    def fragments(self, as_ids: bool | None) -> Fragments:
        """What replies say of each token; as_ids: named "token_id:5" in place of its text."""
        return self._by_id if as_ids else self._by_text

    def encoded(self, texts: list[str], add: bool) -> list[Prompt]:
        """Texts as prompts, also those without tokens. Raises ApiError."""
        tokenizer = self.tokenizer
        try:
            for text in texts:
                check_text(text)
            with self._lock:
                ids = encode_with_symbols(tokenizer, texts, add=add)
                plain = encode_with_symbols(tokenizer, texts, add=False) if add and self._adds else ids
        except InputError as error:
            raise ApiError(400, str(error), param="prompt", code="invalid_value") from None
        return [
            Prompt(np.array(own, np.int64), text, _added(own, without))
            for text, own, without in zip(texts, ids, plain, strict=True)
        ]


def _added(ids: list[int], plain: list[int]) -> tuple[int, int]:
    """How many ids were added before and after those of the text alone."""
    more = len(ids) - len(plain)
    for before in range(more + 1):
        if ids[before : before + len(plain)] == plain:
            return before, more - before
    return 0, 0
