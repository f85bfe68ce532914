"""The symbols of recent texts, in sorted order, so that the text which shares most with a new one is next to it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

TEXTS, LONGEST = 512, 1 << 13  # texts that are remembered, and symbols of each: at most 16 MiB

Symbols = NDArray[np.int32]


class Recent:
    """The texts of the last calls. Threads may lose what others add at the same time: a text less is remembered."""

    def __init__(self) -> None:
        self._state: tuple[list[bytes], list[bytes]] = [], []  # by age, the newest last; and sorted

    def shared(self, symbol_P: Symbols) -> int:
        """How many of its first symbols a text shares with one of these."""
        text, texts = symbol_P.tobytes(), self._state[1]
        place = bisect_left(texts, text)
        near = (np.frombuffer(other, np.int32) for other in texts[max(0, place - 1) : place + 1])
        return max((shared_symbols(symbol_P, other) for other in near), default=0)

    def add(self, texts: Sequence[Symbols]) -> None:
        """Remember these texts, and forget the oldest."""
        new = dict.fromkeys(text[:LONGEST].tobytes() for text in texts[-TEXTS:])
        by_age = [text for text in self._state[0] if text not in new] + list(new)
        self._state = by_age[-TEXTS:], sorted(by_age[-TEXTS:])


def shared_symbols(a: Symbols, b: Symbols) -> int:
    """How many leading symbols they share."""
    least = min(len(a), len(b))
    unlike = a[:least] != b[:least]
    return int(unlike.argmax()) if unlike.any() else least
