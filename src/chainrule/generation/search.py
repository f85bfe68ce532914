"""Beam search, and the exactly most probable continuation by best-first search.

A continuation is complete when it ends with the end symbol or a text to stop at, or has all the tokens it may have. No
extension of a sequence is more probable than the sequence itself; so what is complete, and at least as probable as everything
that is still open, is the best there is. (Uniform-cost search; as decoding: Stahlberg & Byrne 2019, arXiv 1908.10090.)
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass, field
from itertools import count

import numpy as np
import torch

from chainrule.engine.decoding.tree import Grove, Grown
from chainrule.generation.hypothesis import Ends, Told, Twig, lengthen

TOGETHER = 16  # open sequences that are extended at a time: they cost little more than one


@dataclass(frozen=True)
class Certificate:
    """What best-first search has shown. In the numbers that it saw while growing; the final ones differ by rounding."""

    certain: bool  # no other continuation is more probable
    bound: float  # log probability that nothing which was not returned exceeds, in nats
    contexts: int  # that the network computed


def beam(grove: Grove, ends: Ends, width: int, told: Told) -> list[Twig]:
    """The complete continuations that a beam of `width` finds, the most probable first, `width` of them at most."""
    open_, done = [Twig()], []
    grown = grove.begin()
    while open_:
        found = [twig for row, parent in enumerate(open_) for twig in _extensions(grown, row, parent, ends, width)]
        found.sort(key=_by_probability)
        done = sorted(done + [t for t in found if t.finish], key=_by_probability)[:width]
        open_ = [t for t in found if not t.finish][:width]
        if len(done) == width:
            open_ = [t for t in open_ if t.logprob > done[-1].logprob]
        if best := (open_ or done)[:1]:
            told(0, best[0])
        if open_:
            grown = lengthen(grove, open_)
    return done


def _by_probability(twig: Twig) -> tuple[float, list[int]]:
    return -twig.logprob, twig.ids


def _extensions(grown: Grown, row: int, parent: Twig, ends: Ends, width: int) -> list[Twig]:
    """The `width` most probable tokens behind `parent`, and the end symbol; no impossible ones."""
    logprob_V = grown.logprobs(row)
    tokens = _most(logprob_V, width)
    if ends.end_id is not None and ends.end_id not in tokens:
        tokens.append(ends.end_id)
    return [parent.with_token(v, float(logprob_V[v]), ends) for v in tokens if logprob_V[v] > -math.inf]


def _most(logprob_V: torch.Tensor, width: int) -> list[int]:
    """The most probable tokens, all of those included that are as probable as the last of them, by id."""
    least = logprob_V.topk(min(width, len(logprob_V))).values[-1]
    likely = torch.nonzero(logprob_V >= least).flatten()
    return likely[torch.argsort(logprob_V[likely], descending=True, stable=True)][:width].tolist()


def best(grove: Grove, ends: Ends, wanted: int, width: int, budget: int, told: Told) -> tuple[list[Twig], Certificate]:
    """The `wanted` most probable complete continuations, or the best that were found when `budget` contexts are spent.

    A beam of `width` is run first: what it finds leaves only what is more probable open.
    """
    search = _Search(grove, ends, wanted, budget, told)
    search.found = beam(grove, ends, width, lambda *_: None)[:wanted]
    return search.run()


@dataclass
class _Open:
    """A node's extensions that may still matter, the most probable first; `at`: the next of them."""

    twig: Twig
    token_M: np.ndarray
    logprob_M: np.ndarray  # of the token
    total_M: np.ndarray  # of the sequence


@dataclass
class _Search:
    grove: Grove
    ends: Ends
    wanted: int
    budget: int
    told: Told
    found: list[Twig] = field(default_factory=list)  # complete, the most probable first
    spent: int = 0
    heap: list[tuple[float, int, int, _Open]] = field(default_factory=list)  # −log Pr, number, which extension, of what
    numbers: count = field(default_factory=count)

    def run(self) -> tuple[list[Twig], Certificate]:
        self._open([Twig()], self.grove.begin())
        while self.heap and self.spent < self.budget and -self.heap[0][0] > self.threshold:
            twigs = self._take(min(TOGETHER, self.budget - self.spent))
            if twigs:
                self.told(0, twigs[0])
                self._open(twigs, lengthen(self.grove, twigs))
        bound = -self.heap[0][0] if self.heap else -math.inf
        return self.found, Certificate(bound <= self.threshold, max(bound, self.threshold), self.spent)

    @property
    def threshold(self) -> float:
        """What a sequence must exceed to matter."""
        return self.found[self.wanted - 1].logprob if len(self.found) >= self.wanted else -math.inf

    def _take(self, most: int) -> list[Twig]:
        """The most probable open sequences. What is complete goes to what was found."""
        twigs: list[Twig] = []
        while self.heap and len(twigs) < most and -self.heap[0][0] > self.threshold:
            _, _, at, parent = heapq.heappop(self.heap)
            self._push(parent, at + 1)
            twig = parent.twig.with_token(int(parent.token_M[at]), float(parent.logprob_M[at]), self.ends)
            if twig.finish:
                self._keep(twig)
            else:
                twigs.append(twig)
        return twigs

    def _keep(self, twig: Twig) -> None:
        if all(twig.ids != other.ids for other in self.found):
            self.found = sorted([*self.found, twig], key=_by_probability)[: self.wanted]

    def _open(self, twigs: list[Twig], grown: Grown) -> None:
        self.spent += len(twigs)
        for row, twig in enumerate(twigs):
            logprob_V = grown.logprobs(row).numpy(force=True)
            total_V = twig.logprob + logprob_V
            token_M = np.flatnonzero(total_V > self.threshold)
            token_M = token_M[np.argsort(-total_V[token_M], kind="stable")]
            self._push(_Open(twig, token_M, logprob_V[token_M], total_V[token_M]), 0)

    def _push(self, parent: _Open, at: int) -> None:
        if at < len(parent.token_M):
            heapq.heappush(self.heap, (-float(parent.total_M[at]), next(self.numbers), at, parent))
