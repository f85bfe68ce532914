"""Greedy decoding and sampling, one token at a time. Samples with the same tokens so far share a node of the tree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from chainrule.engine.decoding.base import DecodingTree, NextTokens
from chainrule.engine.head.reductions import drawn
from chainrule.generation.hypothesis import Hypothesis, Steps, StoppingCriteria, extend
from chainrule.generation.transform import Transform

GROUP = 256  # samples drawn at a time; bounds the memory for the logits of their nodes


def greedy(tree: DecodingTree, criteria: StoppingCriteria, top: int) -> Steps[list[Hypothesis]]:
    """The most probable token at each position; of equally probable ones, the one with the smallest id."""
    return _sample_all([_MostProbable()], tree, criteria, top, 0)


def sample(
    tree: DecodingTree, criteria: StoppingCriteria, top: int, count: int, seed: int, transform: Transform
) -> Steps[list[Hypothesis]]:
    """`count` samples. Each has its own random numbers, so sample i does not depend on `count`."""
    choices = [_Draw(np.random.default_rng([seed, i]), transform) for i in range(count)]
    hypotheses = []
    for first in range(0, count, GROUP):
        hypotheses += yield from _sample_all(choices[first : first + GROUP], tree, criteria, top, first)
    return hypotheses


class _MostProbable:
    transform = Transform()

    def __call__(self, logprob_M: Tensor) -> int:
        return int(torch.nonzero(logprob_M == logprob_M.max())[0])


class _Draw:
    def __init__(self, random: np.random.Generator, transform: Transform) -> None:
        self.random, self.transform = random, transform

    def __call__(self, sum_M: Tensor) -> int:
        """The index of a token, drawn by its probability. sum_M: cumulative sums of the probabilities of M tokens."""
        return int(drawn(sum_M, sum_M.new_tensor([self.random.random()])))


def _sample_all(
    choices: Sequence[_MostProbable | _Draw],
    tree: DecodingTree,
    criteria: StoppingCriteria,
    top: int,
    first: int,
) -> Steps[list[Hypothesis]]:
    hypotheses = [Hypothesis() for _ in choices]
    following = tree.root()
    while True:
        active = [i for i, hypothesis in enumerate(hypotheses) if hypothesis.finish is None]
        chosen = []
        for row, node in enumerate(following.nodes):
            chosen += _choose(following, row, {i: choices[i] for i in active if hypotheses[i].node == node})
        statistics = following.statistics([each.row for each in chosen], [each.token for each in chosen], top)
        for n, (i, _, token, sampling_logprob) in enumerate(chosen):
            hypotheses[i].append(token, statistics[n : n + 1], sampling_logprob, criteria)
        for i in active:
            yield first + i, hypotheses[i]
        unfinished = [hypotheses[i] for i in active if hypotheses[i].finish is None]
        if not unfinished:
            return hypotheses
        following = extend(tree, unfinished)


class _Chosen(NamedTuple):
    """The token chosen for one hypothesis. sampling_logprob: under the altered distribution; None if it is the model's."""

    index: int
    row: int
    token: int
    sampling_logprob: float | None


def _choose(following: NextTokens, row: int, choices: dict[int, _MostProbable | _Draw]) -> list[_Chosen]:
    """A token for each hypothesis at this node. `choices`: by the index of the hypothesis."""
    logprob_V, choice = following.logprobs(row), next(iter(choices.values()))
    changes = choice.transform.changes
    ids, logq_M = choice.transform(logprob_V) if changes else (None, logprob_V)
    weight_M = torch.cumsum(logq_M.exp(), -1) if isinstance(choice, _Draw) else logq_M
    chosen = []
    for i, choose in choices.items():
        at = choose(weight_M)
        token = at if ids is None else int(ids[at])
        chosen.append(_Chosen(i, row, token, float(logq_M[at]) if changes else None))
    return chosen
