"""The text of a result: its request and its tokens."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from chainrule._types import Ints
from chainrule.errors import short
from chainrule.models.identity import Identity
from chainrule.results.provenance import WithProvenance
from chainrule.results.shown import Shown
from chainrule.results.units import count
from chainrule.text.base import TokenizerLike, token_formatter
from chainrule.text.requests import Request


@dataclass(frozen=True, eq=False)
class ScoredText(Shown, WithProvenance):
    """A result that has a number for each token of one request."""

    request: Request
    ids: Ints  # the tokens scored
    tokenizer: TokenizerLike | None
    identity: Identity

    @property
    def text(self) -> str | None:
        return self.request.text

    @property
    def label(self) -> str:
        """The beginning of the text, or the number of token ids if there is no text: for one line."""
        text = self.text
        return count(len(self), "token id") if text is None else short(str(text))

    @property
    def context(self) -> str | None:
        return self.request.context

    @property
    def special(self) -> str | None:
        """How names of control symbols in the text were read: "text" or "parse"; None if there are none."""
        return self.request.special

    @property
    def context_special(self) -> str | None:
        """`special` of the context."""
        return self.request.context_special

    @cached_property
    def tokens(self) -> list[str]:
        """The tokens, readable. A part of a character is written as bytes (\\xe2)."""
        return list(map(token_formatter(self.tokenizer), self.ids.tolist()))

    def __len__(self) -> int:
        return len(self.ids)
