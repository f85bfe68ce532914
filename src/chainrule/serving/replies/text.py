"""The text of generated tokens, as they come: whole characters, without control symbols, and cut before a text to stop at."""

from __future__ import annotations

import codecs
from collections.abc import Sequence

from chainrule.serving.served import ServedModel


class TextStream:
    """Takes tokens, and gives text that no later token can change."""

    def __init__(self, served: ServedModel, stops: Sequence[str], *, skip_special: bool) -> None:
        self._served, self._stops = served, stops
        self._skipped = served.lm.tokenizer.special_ids if skip_special and served.lm.tokenizer else frozenset()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""  # text that may be the beginning of one to stop at
        self.stop: str | None = None  # the text at which it was cut

    def feed(self, id: int, *, last: bool) -> str:
        """The text that this token adds. last: no token follows."""
        raw = b"" if id in self._skipped else self._served.bytes_of(id)
        if self.stop is not None:
            return ""
        text = self._held + self._decoder.decode(raw, last)
        found = [(text.index(stop), stop) for stop in self._stops if stop in text]
        if found:
            at, self.stop = min(found)
            self._held = ""
            return text[:at]
        kept = 0 if last else max((_overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - kept :]
        return text[: len(text) - kept]


def _overlap(text: str, stop: str) -> int:
    """The length of the longest end of the text with which `stop` begins."""
    return next((size for size in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:size])), 0)


def text_of_tokens(
    served: ServedModel, ids: Sequence[int], stops: Sequence[str], *, skip_special: bool
) -> tuple[str, str | None]:
    """The text of all tokens, and the text at which it was cut."""
    stream = TextStream(served, stops, skip_special=skip_special)
    parts = [stream.feed(id, last=number == len(ids)) for number, id in enumerate(ids, 1)]
    return "".join(parts), stream.stop
