"""The text of generated tokens, as they come: whole characters, without control symbols, and cut before a text to stop at."""

from __future__ import annotations

import codecs
from collections.abc import Sequence

from chainrule.serving.served import ServedModel


class TextStream:
    """Takes tokens, and gives text that no later token can change.

    Texts to stop at are searched in the bytes of all tokens, as generation searches them, also where symbols are not shown.
    """

    def __init__(self, served: ServedModel, stops: Sequence[str], *, skip_special: bool) -> None:
        self._served, self._stops = served, {stop.encode(): stop for stop in stops}
        self._hidden = served.symbols if skip_special else frozenset()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held: list[tuple[bytes, bool]] = []  # bytes that may begin a text to stop at, and whether they are shown
        self.stop: str | None = None  # the text at which it was cut

    def feed(self, id: int, *, last: bool) -> str:
        """The text that this token adds. last: no token follows."""
        if self.stop is not None:
            return ""
        self._held.append((self._served.bytes_of(id), id not in self._hidden))
        raw = b"".join(piece for piece, _ in self._held)
        found = [(raw.index(stop), stop) for stop in self._stops if stop in raw]
        if found:
            at, stop = min(found)
            self.stop = self._stops[stop]
            return self._shown(at, last=True)
        kept = 0 if last else max((_overlap(raw, stop) for stop in self._stops), default=0)
        return self._shown(len(raw) - kept, last=last)

    def _shown(self, size: int, *, last: bool) -> str:
        """The text of the first bytes that are held, which are then not held any more."""
        shown, held = b"", []
        for piece, visible in self._held:
            shown += piece[:size] if visible else b""
            if len(piece) > size:
                held.append((piece[size:], visible))
            size = max(0, size - len(piece))
        self._held = held
        return self._decoder.decode(shown, last)


def _overlap(raw: bytes, stop: bytes) -> int:
    """The length of the longest end of the bytes with which `stop` begins."""
    return next((size for size in range(min(len(raw), len(stop) - 1), 0, -1) if raw.endswith(stop[:size])), 0)


def text_of_tokens(
    served: ServedModel, ids: Sequence[int], stops: Sequence[str], *, skip_special: bool
) -> tuple[str, str | None]:
    """The text of all tokens, and the text at which it was cut."""
    stream = TextStream(served, stops, skip_special=skip_special)
    parts = [stream.feed(id, last=number == len(ids)) for number, id in enumerate(ids, 1)]
    return "".join(parts), stream.stop
