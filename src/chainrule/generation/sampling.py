"""Greedy and sampling: one token at a time. Samples that have drawn the same tokens so far share a node of the tree."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from chainrule.engine.decoding.base import DecodingTree, NextTokens
from chainrule.generation.hypothesis import Hypothesis, Report, StoppingCriteria, extend
from chainrule.generation.transform import Transform

GROUP = 256  # samples that grow at a time, so that the logits of all their nodes have room


def greedy(tree: DecodingTree, criteria: StoppingCriteria, top: int, report: Report) -> list[Hypothesis]:
    """The most probable token each time; of equals the one with the least id."""
    return _sample_all([_Most()], tree, criteria, top, report, 0)


def sample(
    tree: DecodingTree, criteria: StoppingCriteria, top: int, report: Report, count: int, seed: int, transform: Transform
) -> list[Hypothesis]:
    """`count` samples, each with random numbers of its own: sample i draws the same ones however many there are."""
    choices = [_Draw(np.random.default_rng([seed, i]), transform) for i in range(count)]
    groups = range(0, count, GROUP)
    return [hypothesis for i in groups for hypothesis in _sample_all(choices[i : i + GROUP], tree, criteria, top, report, i)]


class _Most:
    transform = Transform()

    def __call__(self, ways: tuple[Tensor | None, Tensor, Tensor]) -> int:
        return int(torch.nonzero(ways[1] == ways[1].max())[0])


class _Draw:
    def __init__(self, random: np.random.Generator, transform: Transform) -> None:
        self.random, self.transform = random, transform

    def __call__(self, ways: tuple[Tensor | None, Tensor, Tensor]) -> int:
        """A place among the tokens left, in proportion to their probabilities."""
        sum_M = ways[2]
        return min(int(torch.searchsorted(sum_M, self.random.random() * float(sum_M[-1]), right=True)), _last(sum_M))


def _last(sum_M: Tensor) -> int:
    """The last place that has a probability: rounding must not draw one behind it."""
    return int(torch.searchsorted(sum_M, sum_M[-1]))


def _sample_all(
    choices: Sequence[_Most | _Draw], tree: DecodingTree, criteria: StoppingCriteria, top: int, report: Report, first: int
) -> list[Hypothesis]:
    hypotheses = [Hypothesis() for _ in choices]
    following = tree.root()
    while True:
        alive = [i for i, hypothesis in enumerate(hypotheses) if hypothesis.finish is None]
        for row, node in enumerate(following.nodes):
            here = [i for i in alive if hypotheses[i].node == node]
            _choose(following, row, [hypotheses[i] for i in here], [choices[i] for i in here], criteria, top)
        for i in alive:
            report(first + i, hypotheses[i])
        growing = [hypotheses[i] for i in alive if hypotheses[i].finish is None]
        if not growing:
            return hypotheses
        following = extend(tree, growing)


def _choose(
    following: NextTokens, row: int, hypotheses: list[Hypothesis], choices: list, criteria: StoppingCriteria, top: int
) -> None:
    """One token for every hypothesis that criteria at this node."""
    logprob_V = following.logprobs(row)
    transform = choices[0].transform
    ids, logq_M = transform(logprob_V) if transform.changes else (None, logprob_V)
    ways = ids, logq_M, torch.cumsum(logq_M.exp(), -1) if isinstance(choices[0], _Draw) else logq_M
    best = logprob_V.topk(top) if top else None
    for hypothesis, choice in zip(hypotheses, choices, strict=True):
        at = choice(ways)
        token = at if ids is None else int(ids[at])
        hypothesis.ids.append(token)
        hypothesis.logprobs.append(float(logprob_V[token]))
        hypothesis.ranks.append(following.rank(row, token))
        hypothesis.entropies.append(float(following.entropy_B[row]))
        if transform.changes:
            hypothesis.sampling_logprobs.append(float(logq_M[at]))
        if best:
            hypothesis.tops.append((best.indices.numpy(force=True), best.values.numpy(force=True)))
        hypothesis.finish = criteria.finish(hypothesis.ids)
