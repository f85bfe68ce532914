"""Conditionals read off whole passes of a network: each distinct pass once, each distinct conditional of it once.

A pass is one text as a network is fed with it; a conditional is a place of it that is read. Passes of one length run
together, without padding.

Shapes: N factors that are asked for, P distinct passes, C distinct conditionals of them, L places of a text, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from chainrule._types import Floats, Ints
from chainrule.engine.head.readout import Distributions, block_rows, read, workspace
from chainrule.engine.question import Answer, Progress, refuse_nan
from chainrule.models.base import Head
from chainrule.models.head import all_logits
from chainrule.models.transformer import Network
from chainrule.ops.matmul import usual_rows
from chainrule.ops.sealed import sealed
from chainrule.ops.transfer import sent
from chainrule.verdict import Verdict

NO_PROMISE = Verdict(
    False, "texts of one length share passes of the model's own attention, whose bits may depend on how many there are"
)


class Asked(NamedTuple):
    """One conditional: what the network is fed with, who sees whom, and where it is read."""

    fed_L: Ints  # token ids
    rank_L: Ints  # the order in which places became known; all 0 where that is no matter
    target: int


class Reading(NamedTuple):
    """Passes that run together, and the conditionals to be read off them, in order of their passes."""

    fed_BL: Ints
    rank_BL: Ints
    pass_C: Ints
    target_C: Ints


@dataclass(frozen=True)
class Plan:
    """The distinct conditionals of N factors, by pass; passes by length."""

    ask: Callable[[int], Asked]
    first_P: Ints  # one of the factors that are read off each pass
    length_P: Ints
    pass_C: Ints  # ascends
    target_C: Ints
    context_N: Ints

    @classmethod
    def of(cls, count: int, ask: Callable[[int], Asked]) -> Plan:
        """What is the same is found by digests of what is fed, so that no more than one text is held at a time."""
        passes: dict[tuple[int, bytes], int] = {}
        contexts: dict[tuple[int, int], int] = {}
        first, pair_N = [], np.zeros(count, np.int64)
        for n in range(count):
            fed_L, rank_L, target = ask(n)
            key = len(fed_L), blake2b(fed_L.tobytes() + rank_L.tobytes(), digest_size=20).digest()
            p = passes.setdefault(key, len(passes))
            first += [n] * (p == len(first))
            pair_N[n] = contexts.setdefault((p, target), len(contexts))
        length_P = np.array([length for length, _ in passes], np.int64)
        pair_C2 = np.array(list(contexts), np.int64).reshape(-1, 2)
        by_length = np.argsort(length_P, kind="stable")  # old numbers of passes, in their new order
        new_P = np.argsort(by_length, kind="stable")
        by_pass = np.lexsort((pair_C2[:, 1], new_P[pair_C2[:, 0]]))
        sorted_C2 = pair_C2[by_pass]
        context_N = np.argsort(by_pass, kind="stable")[pair_N]
        return cls(
            ask, np.array(first, np.int64)[by_length], length_P[by_length], new_P[sorted_C2[:, 0]], sorted_C2[:, 1], context_N
        )

    def readings(self, rows: int, width: Callable[[int], int]) -> Iterator[tuple[slice, Reading]]:
        """Passes of one length, at most `rows` places at a time, `width` of them each; which conditionals come of them."""
        for length in np.unique(self.length_P).tolist():
            a, b = np.searchsorted(self.length_P, [length, length + 1]).tolist()
            step = max(1, rows // width(length))
            for first in range(a, b, step):
                stop = min(first + step, b)
                c, d = np.searchsorted(self.pass_C, [first, stop]).tolist()
                asked = [self.ask(int(n)) for n in self.first_P[first:stop]]
                fed, rank = (np.stack([each[i] for each in asked]) for i in (0, 1))
                yield slice(c, d), Reading(fed, rank, self.pass_C[c:d] - first, self.target_C[c:d])


@dataclass(frozen=True)
class Reader:
    """Runs passes of one network, and reads its conditionals."""

    network: Network
    head: Head
    run: Callable[[Reading], Tensor]  # hidden states of the conditionals, C × H
    width: Callable[[int], int]  # places that a text of so many tokens has in the network

    @sealed
    def answer(self, plan: Plan, token_N: Ints, *, rows: int | None, top: int, progress: Progress | None) -> Answer:
        """The factor of every token, with its rank, the entropy and the alternatives. Raises ModelError where it is NaN."""
        answer, computed = Answer.empty(len(token_N), top, len(plan.pass_C)), 0
        by_context, space = np.argsort(plan.context_N, kind="stable"), workspace(self.head, self.network.device)
        for here, reading in plan.readings(rows or usual_rows(self.network), self.width):
            a, b = np.searchsorted(plan.context_N[by_context], [here.start, here.stop]).tolist()
            factor_F = by_context[a:b]
            row_F = torch.from_numpy(plan.context_N[factor_F] - here.start)
            token_F = sent(token_N[factor_F], self.network.device)
            answer.store(factor_F, read(self.head, self.run(reading), row_F, token_F, top, space))
            computed += len(reading.fed_BL) * self.width(reading.fed_BL.shape[1])
            if progress is not None:
                progress(here.stop, len(plan.pass_C))
        refuse_nan(answer.logprob_N, self.network.name)
        return replace(answer, rows=computed)

    @sealed
    def conditionals(self, plan: Plan, *, rows: int | None) -> Floats:
        """log Pr(v | …) for every v of the vocabulary, N × V. Raises ModelError where it is NaN."""
        found_CV = np.empty((len(plan.pass_C), self.head.size))
        space, count = workspace(self.head, self.network.device), block_rows(self.head.size)
        for here, reading in plan.readings(rows or usual_rows(self.network), self.width):
            for at, hidden_MH in zip(range(here.start, here.stop, count), self.run(reading).split(count), strict=True):
                read = Distributions.at(self.head, hidden_MH, space)
                logprob_MV = read.logits_MV.double() - read.logsumexp_M[:, None]
                found_CV[at : at + len(hidden_MH)] = logprob_MV[: len(hidden_MH)].cpu().numpy()
        refuse_nan(found_CV, self.network.name)
        return found_CV[plan.context_N]


def logprobs(logits_TV: Tensor) -> Floats:
    """log softmax of each row in float64, as one writes it down."""
    return logits_TV.double().log_softmax(-1).cpu().numpy()


def head_logprobs(head: Head, hidden_CH: Tensor) -> Floats:
    """The same of what a head makes of hidden states, C × V: for trials, which are small."""
    return logprobs(all_logits(head, hidden_CH))
