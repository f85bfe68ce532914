"""The tokens of a page: each id that occurs, with its visible form."""

from __future__ import annotations

from collections.abc import Iterable

from chainrule.display.export.visible import visible
from chainrule.text.base import TokenizerLike, token_formatter


class Tokens:
    """Token ids with their visible forms, collected as ids are written to a page."""

    def __init__(self, tokenizer: TokenizerLike | None) -> None:
        self._tokenizer, self._name = tokenizer, token_formatter(tokenizer)
        self.names: dict[str, str] = {}  # by id; the keys of objects of JSON are texts

    def add(self, id: int) -> int:
        """The id, which the page then names."""
        id = int(id)
        if str(id) not in self.names:
            raw = b"" if self._tokenizer is None else self._tokenizer.token_bytes(id)
            self.names[str(id)] = visible(self._name(id), raw)
        return id

    def all(self, ids: Iterable[int]) -> list[int]:
        """The ids, which the page then names."""
        return [self.add(id) for id in ids]
