"""Greedy and sampling: one token at a time. Samples that have drawn the same tokens so far share a node of the grove."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from chainrule.engine.decoding.tree import Grove, Grown
from chainrule.generation.hypothesis import Ends, Told, Twig, lengthen
from chainrule.generation.transform import Altered

GROUP = 256  # samples that grow at a time, so that the logits of all their nodes have room


def greedy(grove: Grove, ends: Ends, top: int, told: Told) -> list[Twig]:
    """The most probable token each time; of equals the one with the least id."""
    return _grow_all([_Most()], grove, ends, top, told, 0)


def sample(grove: Grove, ends: Ends, top: int, told: Told, count: int, seed: int, altered: Altered) -> list[Twig]:
    """`count` samples, each with random numbers of its own: sample i draws the same ones however many there are."""
    choices = [_Draw(np.random.default_rng([seed, i]), altered) for i in range(count)]
    groups = range(0, count, GROUP)
    return [twig for i in groups for twig in _grow_all(choices[i : i + GROUP], grove, ends, top, told, i)]


class _Most:
    altered = Altered()

    def __call__(self, ways: tuple[Tensor | None, Tensor, Tensor]) -> int:
        return int(torch.nonzero(ways[1] == ways[1].max())[0])


class _Draw:
    def __init__(self, random: np.random.Generator, altered: Altered) -> None:
        self.random, self.altered = random, altered

    def __call__(self, ways: tuple[Tensor | None, Tensor, Tensor]) -> int:
        """A place among the tokens left, in proportion to their probabilities."""
        sum_M = ways[2]
        return min(int(torch.searchsorted(sum_M, self.random.random() * float(sum_M[-1]), right=True)), _last(sum_M))


def _last(sum_M: Tensor) -> int:
    """The last place that has a probability: rounding must not draw one behind it."""
    return int(torch.searchsorted(sum_M, sum_M[-1]))


def _grow_all(choices: Sequence[_Most | _Draw], grove: Grove, ends: Ends, top: int, told: Told, first: int) -> list[Twig]:
    twigs = [Twig() for _ in choices]
    grown = grove.begin()
    while True:
        alive = [i for i, twig in enumerate(twigs) if twig.finish is None]
        for row, node in enumerate(grown.nodes):
            here = [i for i in alive if twigs[i].node == node]
            _choose(grown, row, [twigs[i] for i in here], [choices[i] for i in here], ends, top)
        for i in alive:
            told(first + i, twigs[i])
        growing = [twigs[i] for i in alive if twigs[i].finish is None]
        if not growing:
            return twigs
        grown = lengthen(grove, growing)


def _choose(grown: Grown, row: int, twigs: list[Twig], choices: list, ends: Ends, top: int) -> None:
    """One token for every twig that ends at this node."""
    logprob_V = grown.logprobs(row)
    altered = choices[0].altered
    ids, logq_M = altered(logprob_V) if altered.changes else (None, logprob_V)
    ways = ids, logq_M, torch.cumsum(logq_M.exp(), -1) if isinstance(choices[0], _Draw) else logq_M
    best = logprob_V.topk(top) if top else None
    for twig, choice in zip(twigs, choices, strict=True):
        at = choice(ways)
        token = at if ids is None else int(ids[at])
        twig.ids.append(token)
        twig.logprobs.append(float(logprob_V[token]))
        twig.ranks.append(grown.rank(row, token))
        twig.entropies.append(float(grown.entropy_B[row]))
        if altered.changes:
            twig.altered.append(float(logq_M[at]))
        if best:
            twig.tops.append((best.indices.numpy(force=True), best.values.numpy(force=True)))
        twig.finish = ends.finish(twig.ids)
