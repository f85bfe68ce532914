"""One sequence while it grows, and what ends it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from chainrule.engine.decoding.tree import Grove, Grown
from chainrule.text.tokenizer import Tokenizes


@dataclass
class Twig:
    """Tokens behind what is given, with their log probabilities as they were while it grew."""

    node: int = 0  # of the grove: where it ends
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)  # under the model
    ranks: list[int] = field(default_factory=list)  # where they were looked at (`drawing`)
    entropies: list[float] = field(default_factory=list)
    altered: list[float] = field(default_factory=list)  # under the distribution that was drawn from, where that is another
    tops: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)  # ids and log probabilities of the alternatives
    finish: str | None = None  # "end", "stop", "length"; None: it may grow on

    @property
    def logprob(self) -> float:
        return math.fsum(self.logprobs)

    def with_token(self, token: int, logprob: float, ends: Ends) -> Twig:
        """The twig with one token more; it still ends at the node before."""
        twig = Twig(self.node, [*self.ids, token], [*self.logprobs, logprob])
        twig.finish = ends.finish(twig.ids)
        return twig


@dataclass(frozen=True)
class Ends:
    """The end symbol, if any, texts to stop at, and the most tokens."""

    length: int
    end_id: int | None
    stops: tuple[str, ...]
    tokenizer: Tokenizes | None

    def finish(self, ids: list[int]) -> str | None:
        """Why a sequence of these tokens has come to an end; None where it has not."""
        if ids[-1] == self.end_id:
            return "end"
        if self.stops and self._stopped(ids):
            return "stop"
        return "length" if len(ids) >= self.length else None

    def _stopped(self, ids: list[int]) -> bool:
        """Whether the last token completes one of the texts to stop at. Only as many bytes are looked at as may hold it."""
        if self.tokenizer is None:
            raise ValueError(f"texts to stop at, {self.stops}, need a tokenizer, and there is none")
        wanted = [stop.encode() for stop in self.stops]
        last = self.tokenizer.token_bytes(ids[-1])
        tail, need = last, max(map(len, wanted)) - 1 + len(last)
        for id in reversed(ids[:-1]):
            if len(tail) >= need:
                break
            tail = self.tokenizer.token_bytes(id) + tail
        return any(stop in tail[-need:] for stop in wanted)


Told = Callable[[int, Twig], None]  # which of the sequences has grown; 0 where there is one


def lengthen(grove: Grove, twigs: list[Twig]) -> Grown:
    """Each twig's last token becomes a node, one for all twigs that have grown alike."""
    ways = list(dict.fromkeys((twig.node, twig.ids[-1]) for twig in twigs))
    grown = grove.grow([parent for parent, _ in ways], [token for _, token in ways])
    node_of = dict(zip(ways, grown.nodes, strict=True))
    for twig in twigs:
        twig.node = node_of[twig.node, twig.ids[-1]]
    return grown
