"""Beam search, and the exactly most probable continuation by best-first search.

A continuation is complete when it criteria with the end symbol or a text to stop at, or has all the tokens it may have. No
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

from chainrule.engine.decoding.base import DecodingTree, NextTokens
from chainrule.generation.hypothesis import Hypothesis, Report, StoppingCriteria, extend

TOGETHER = 16  # open sequences that are extended at a time: they cost little more than one


@dataclass(frozen=True)
class Certificate:
    """What best-first search has shown. In the numbers that it saw while growing; the final ones differ by rounding."""

    certain: bool  # no other continuation is more probable
    bound: float  # log probability that nothing which was not returned exceeds, in nats
    contexts: int  # that the network computed


def beam(tree: DecodingTree, criteria: StoppingCriteria, width: int, report: Report) -> list[Hypothesis]:
    """The complete continuations that a beam of `width` finds, the most probable first, `width` of them at most."""
    open_, done = [Hypothesis()], []
    following = tree.root()
    while open_:
        found = [
            hypothesis
            for row, parent in enumerate(open_)
            for hypothesis in _extensions(following, row, parent, criteria, width)
        ]
        found.sort(key=_by_probability)
        done = sorted(done + [t for t in found if t.finish], key=_by_probability)[:width]
        open_ = [t for t in found if not t.finish][:width]
        if len(done) == width:
            open_ = [t for t in open_ if t.logprob > done[-1].logprob]
        if best := (open_ or done)[:1]:
            report(0, best[0])
        if open_:
            following = extend(tree, open_)
    return done


def _by_probability(hypothesis: Hypothesis) -> tuple[float, list[int]]:
    return -hypothesis.logprob, hypothesis.ids


def _extensions(
    following: NextTokens, row: int, parent: Hypothesis, criteria: StoppingCriteria, width: int
) -> list[Hypothesis]:
    """The `width` most probable tokens behind `parent`, and the end symbol; no impossible ones."""
    logprob_V = following.logprobs(row)
    tokens = _most(logprob_V, width)
    if criteria.end_id is not None and criteria.end_id not in tokens:
        tokens.append(criteria.end_id)
    return [parent.with_token(v, float(logprob_V[v]), criteria) for v in tokens if logprob_V[v] > -math.inf]


def _most(logprob_V: torch.Tensor, width: int) -> list[int]:
    """The most probable tokens, all of those included that are as probable as the last of them, by id."""
    least = logprob_V.topk(min(width, len(logprob_V))).values[-1]
    likely = torch.nonzero(logprob_V >= least).flatten()
    return likely[torch.argsort(logprob_V[likely], descending=True, stable=True)][:width].tolist()


def best(
    tree: DecodingTree, criteria: StoppingCriteria, wanted: int, width: int, budget: int, report: Report
) -> tuple[list[Hypothesis], Certificate]:
    """The `wanted` most probable complete continuations, or the best that were found when `budget` contexts are spent.

    A beam of `width` is run first: what it finds leaves only what is more probable open.
    """
    search = _Search(tree, criteria, wanted, budget, report)
    search.found = beam(tree, criteria, width, lambda *_: None)[:wanted]
    return search.run()


@dataclass
class _Open:
    """A node's extensions that may still matter, the most probable first; `at`: the next of them."""

    hypothesis: Hypothesis
    token_M: np.ndarray
    logprob_M: np.ndarray  # of the token
    total_M: np.ndarray  # of the sequence


@dataclass
class _Search:
    tree: DecodingTree
    criteria: StoppingCriteria
    wanted: int
    budget: int
    report: Report
    found: list[Hypothesis] = field(default_factory=list)  # complete, the most probable first
    spent: int = 0
    heap: list[tuple[float, int, int, _Open]] = field(default_factory=list)  # −log Pr, number, which extension, of what
    numbers: count = field(default_factory=count)

    def run(self) -> tuple[list[Hypothesis], Certificate]:
        self._open([Hypothesis()], self.tree.root())
        while self.heap and self.spent < self.budget and -self.heap[0][0] > self.threshold:
            hypotheses = self._take(min(TOGETHER, self.budget - self.spent))
            if hypotheses:
                self.report(0, hypotheses[0])
                self._open(hypotheses, extend(self.tree, hypotheses))
        bound = -self.heap[0][0] if self.heap else -math.inf
        return self.found, Certificate(bound <= self.threshold, max(bound, self.threshold), self.spent)

    @property
    def threshold(self) -> float:
        """What a sequence must exceed to matter."""
        return self.found[self.wanted - 1].logprob if len(self.found) >= self.wanted else -math.inf

    def _take(self, most: int) -> list[Hypothesis]:
        """The most probable open sequences. What is complete goes to what was found."""
        hypotheses: list[Hypothesis] = []
        while self.heap and len(hypotheses) < most and -self.heap[0][0] > self.threshold:
            _, _, at, parent = heapq.heappop(self.heap)
            self._push(parent, at + 1)
            hypothesis = parent.hypothesis.with_token(int(parent.token_M[at]), float(parent.logprob_M[at]), self.criteria)
            if hypothesis.finish:
                self._keep(hypothesis)
            else:
                hypotheses.append(hypothesis)
        return hypotheses

    def _keep(self, hypothesis: Hypothesis) -> None:
        if all(hypothesis.ids != other.ids for other in self.found):
            self.found = sorted([*self.found, hypothesis], key=_by_probability)[: self.wanted]

    def _open(self, hypotheses: list[Hypothesis], following: NextTokens) -> None:
        self.spent += len(hypotheses)
        for row, hypothesis in enumerate(hypotheses):
            logprob_V = following.logprobs(row).numpy(force=True)
            total_V = hypothesis.logprob + logprob_V
            token_M = np.flatnonzero(total_V > self.threshold)
            token_M = token_M[np.argsort(-total_V[token_M], kind="stable")]
            self._push(_Open(hypothesis, token_M, logprob_V[token_M], total_V[token_M]), 0)

    def _push(self, parent: _Open, at: int) -> None:
        if at < len(parent.token_M):
            heapq.heappush(self.heap, (-float(parent.total_M[at]), next(self.numbers), at, parent))
