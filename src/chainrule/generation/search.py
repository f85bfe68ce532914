"""Beam search, and the exactly most probable continuation by best-first search.

A continuation is complete when it ends with the end symbol or a stop text, or has the maximum number of tokens. No extension
of a sequence is more probable than the sequence. So a complete sequence that is at least as probable as every open one is the
most probable of all. (Uniform-cost search; for decoding: Stahlberg & Byrne 2019, arXiv 1908.10090.)
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from chainrule.engine.decoding.base import DecodingTree, NextTokens
from chainrule.engine.head.most_probable import most_probable
from chainrule.generation.hypothesis import Hypothesis, Steps, StoppingCriteria, extend

TOGETHER = 16  # open sequences extended at a time; together they cost little more than one


@dataclass(frozen=True)
class Certificate:
    """The proof of a best-first search. It holds for the numbers computed during generation; final ones differ by rounding."""

    certain: bool  # no other continuation is more probable
    logprob_bound: float  # no continuation that was not returned has a higher log probability, nats
    contexts: int  # number of contexts that the network computed


def beam(tree: DecodingTree, criteria: StoppingCriteria, width: int) -> Steps[list[Hypothesis]]:
    """Up to `width` complete continuations, found by a beam of `width`; most probable first."""
    open_, done = [Hypothesis()], []
    following = tree.root()
    while open_:
        extended = [
            hypothesis
            for row, parent in enumerate(open_)
            for hypothesis in _extensions(following, row, parent, criteria, width)
        ]
        extended.sort(key=_by_probability)
        done = sorted(done + [h for h in extended if h.finish], key=_by_probability)[:width]
        open_ = [h for h in extended if not h.finish][:width]
        if len(done) == width:
            open_ = [h for h in open_ if h.logprob > done[-1].logprob]
        if best := (open_ or done)[:1]:
            yield 0, best[0]
        if open_:
            following = extend(tree, open_)
    return done


def _by_probability(hypothesis: Hypothesis) -> tuple[float, list[int]]:
    return -hypothesis.logprob, hypothesis.ids


def _extensions(
    following: NextTokens, row: int, parent: Hypothesis, criteria: StoppingCriteria, width: int
) -> list[Hypothesis]:
    """`parent` with each of the `width` most probable next tokens, and with the end symbol; without impossible ones."""
    logprob_V = following.logprobs(row)
    tokens = most_probable(logprob_V[None], width)[0].tolist()
    if criteria.end_id is not None and criteria.end_id not in tokens:
        tokens.append(criteria.end_id)
    return [parent.with_token(v, float(logprob_V[v]), criteria) for v in tokens if logprob_V[v] > -math.inf]


def best(
    tree: DecodingTree, criteria: StoppingCriteria, count: int, width: int, budget: int
) -> Steps[tuple[list[Hypothesis], Certificate]]:
    """The `count` most probable complete continuations, or the best found within `budget` contexts.

    A beam of `width` runs first. Sequences that are no more probable than its results need no extension.
    """
    search = _Search(tree, criteria, count, budget)
    search.results = (yield from beam(tree, criteria, width))[:count]
    return (yield from search.run())


@dataclass
class _Open:
    """The M extensions of a hypothesis that may be among the results, most probable first."""

    hypothesis: Hypothesis
    token_M: np.ndarray
    logprob_M: np.ndarray  # of the token
    total_M: np.ndarray  # of the sequence


@dataclass
class _Search:
    tree: DecodingTree
    criteria: StoppingCriteria
    count: int
    budget: int
    results: list[Hypothesis] = field(default_factory=list)  # complete ones, most probable first
    computed: int = 0  # contexts
    heap: list[tuple[float, int, int, _Open]] = field(default_factory=list)  # −log Pr, number, index of the extension, parent
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def run(self) -> Steps[tuple[list[Hypothesis], Certificate]]:
        self._open([Hypothesis()], self.tree.root())
        while self.heap and self.computed < self.budget and -self.heap[0][0] > self.threshold:
            hypotheses = self._take(min(TOGETHER, self.budget - self.computed))
            if hypotheses:
                yield 0, hypotheses[0]
                self._open(hypotheses, extend(self.tree, hypotheses))
        bound = -self.heap[0][0] if self.heap else -math.inf
        return self.results, Certificate(bound <= self.threshold, max(bound, self.threshold), self.computed)

    @property
    def threshold(self) -> float:
        """The log probability that a sequence must exceed to be among the results."""
        return self.results[self.count - 1].logprob if len(self.results) >= self.count else -math.inf

    def _take(self, limit: int) -> list[Hypothesis]:
        """Up to `limit` most probable open sequences. Complete ones on the way are added to `results`."""
        hypotheses: list[Hypothesis] = []
        while self.heap and len(hypotheses) < limit and -self.heap[0][0] > self.threshold:
            _, _, at, parent = heapq.heappop(self.heap)
            self._push(parent, at + 1)
            hypothesis = parent.hypothesis.with_token(int(parent.token_M[at]), float(parent.logprob_M[at]), self.criteria)
            if hypothesis.finish:
                self._keep(hypothesis)
            else:
                hypotheses.append(hypothesis)
        return hypotheses

    def _keep(self, hypothesis: Hypothesis) -> None:
        if all(hypothesis.ids != other.ids for other in self.results):
            self.results = sorted([*self.results, hypothesis], key=_by_probability)[: self.count]

    def _open(self, hypotheses: list[Hypothesis], following: NextTokens) -> None:
        self.computed += len(hypotheses)
        for row, hypothesis in enumerate(hypotheses):
            logprob_V = following.logprobs(row).numpy(force=True)
            total_V = hypothesis.logprob + logprob_V
            token_M = np.flatnonzero(total_V > self.threshold)
            token_M = token_M[np.argsort(-total_V[token_M], kind="stable")]
            self._push(_Open(hypothesis, token_M, logprob_V[token_M], total_V[token_M]), 0)

    def _push(self, parent: _Open, at: int) -> None:
        if at < len(parent.token_M):
            heapq.heappush(self.heap, (-float(parent.total_M[at]), next(self.numbers), at, parent))
