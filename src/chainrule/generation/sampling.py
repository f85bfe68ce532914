"""Greedy decoding and sampling, one token at a time. Samples with the same tokens so far share a node of the tree."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from chainrule.engine.decoding.base import DecodingTree, NextTokens
from chainrule.generation.hypothesis import Hypothesis, Report, StoppingCriteria, extend
from chainrule.generation.transform import Transform

GROUP = 256  # samples drawn at a time; bounds the memory for the logits of their nodes


def greedy(tree: DecodingTree, criteria: StoppingCriteria, top: int, report: Report) -> list[Hypothesis]:
    """The most probable token at each position; of equally probable ones, the one with the smallest id."""
    return _sample_all([_MostProbable()], tree, criteria, top, report, 0)


def sample(
    tree: DecodingTree, criteria: StoppingCriteria, top: int, report: Report, count: int, seed: int, transform: Transform
) -> list[Hypothesis]:
    """`count` samples. Each has its own random numbers, so sample i does not depend on `count`."""
    choices = [_Draw(np.random.default_rng([seed, i]), transform) for i in range(count)]
    groups = range(0, count, GROUP)
    return [hypothesis for i in groups for hypothesis in _sample_all(choices[i : i + GROUP], tree, criteria, top, report, i)]


class _MostProbable:
    transform = Transform()

    def __call__(self, logprob_M: Tensor) -> int:
        return int(torch.nonzero(logprob_M == logprob_M.max())[0])


class _Draw:
    def __init__(self, random: np.random.Generator, transform: Transform) -> None:
        self.random, self.transform = random, transform

    def __call__(self, sum_M: Tensor) -> int:
        """The index of a token, drawn by its probability. sum_M: cumulative sums of the probabilities of M tokens."""
        return min(int(torch.searchsorted(sum_M, self.random.random() * float(sum_M[-1]), right=True)), _last(sum_M))


def _last(sum_M: Tensor) -> int:
    """The index of the last token with a probability above 0; rounding must not draw one after it."""
    return int(torch.searchsorted(sum_M, sum_M[-1]))


def _sample_all(
    choices: Sequence[_MostProbable | _Draw],
    tree: DecodingTree,
    criteria: StoppingCriteria,
    top: int,
    report: Report,
    first: int,
) -> list[Hypothesis]:
    hypotheses = [Hypothesis() for _ in choices]
    following = tree.root()
    while True:
        active = [i for i, hypothesis in enumerate(hypotheses) if hypothesis.finish is None]
        for row, node in enumerate(following.nodes):
            here = [i for i in active if hypotheses[i].node == node]
            _choose(following, row, [hypotheses[i] for i in here], [choices[i] for i in here], criteria, top)
        for i in active:
            report(first + i, hypotheses[i])
        unfinished = [hypotheses[i] for i in active if hypotheses[i].finish is None]
        if not unfinished:
            return hypotheses
        following = extend(tree, unfinished)


def _choose(
    following: NextTokens, row: int, hypotheses: list[Hypothesis], choices: list, criteria: StoppingCriteria, top: int
) -> None:
    """Add a token to each hypothesis at this node. top: the number of alternatives to keep."""
    logprob_V = following.logprobs(row)
    transform = choices[0].transform
    ids, logq_M = transform(logprob_V) if transform.changes else (None, logprob_V)
    weight_M = torch.cumsum(logq_M.exp(), -1) if isinstance(choices[0], _Draw) else logq_M
    chosen = [choice(weight_M) for choice in choices]
    tokens = chosen if ids is None else [int(ids[at]) for at in chosen]
    statistics = following.statistics(row, tokens, top)
    for i, (hypothesis, at, token) in enumerate(zip(hypotheses, chosen, tokens, strict=True)):
        hypothesis.ids.append(token)
        hypothesis.logprobs.append(float(statistics.logprobs[i]))
        hypothesis.statistics.append(statistics[i : i + 1])
        if transform.changes:
            hypothesis.sampling_logprobs.append(float(logq_M[at]))
        hypothesis.finish = criteria.finish(hypothesis.ids)
