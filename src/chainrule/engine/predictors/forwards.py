"""Conditionals from whole passes of a network: each distinct pass runs once, each distinct conditional is read once.

A pass is one text as the input of a network. A conditional is a position of it that is read. Passes of equal length run
together, without padding.

Shapes: N requested factors, P distinct passes, C distinct conditionals, L positions of a text, V vocabulary.
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
from chainrule.engine.head.asked import NONE, AskedTokens
from chainrule.engine.head.readout import Distributions, block_rows, read, workspace
from chainrule.engine.question import Answer, Settings, refuse_nan
from chainrule.models.base import Head
from chainrule.models.head import all_logits
from chainrule.models.transformer import Network
from chainrule.ops.matmul import usual_rows
from chainrule.ops.sealed import sealed
from chainrule.ops.transfer import fetched
from chainrule.verdict import Verdict

NOT_INVARIANT = Verdict(
    False, "texts of equal length share a batch of the model's own attention, whose bits may depend on the number of texts"
)


class Request(NamedTuple):
    """One conditional: the input of the network, the order that decides which positions see which, and the position read."""

    fed_L: Ints  # token ids
    rank_L: Ints  # the order in which positions become known; empty or all 0 if it has no effect
    target: int


class PassBatch(NamedTuple):
    """Passes that run together, and the conditionals to read from them, in the order of their passes."""

    fed_BL: Ints
    rank_BL: Ints
    pass_C: Ints
    target_C: Ints


@dataclass(frozen=True)
class Plan:
    """The distinct conditionals of N factors, sorted by pass; the passes are sorted by length."""

    request: Callable[[int], Request]  # of factor n
    first_P: Ints  # a factor that is read from each pass
    length_P: Ints
    pass_C: Ints  # ascending
    target_C: Ints
    context_N: Ints

    @classmethod
    def of(cls, count: int, request: Callable[[int], Request]) -> Plan:
        """The plan for `count` factors. Equal passes are found by digests, so only one text is in memory at a time."""
        passes: dict[tuple[int, bytes], int] = {}
        contexts: dict[tuple[int, int], int] = {}
        first, pair_N = [], np.zeros(count, np.int64)
        for n in range(count):
            fed_L, rank_L, target = request(n)
            key = len(fed_L), blake2b(fed_L.tobytes() + rank_L.tobytes(), digest_size=20).digest()
            p = passes.setdefault(key, len(passes))
            first += [n] * (p == len(first))
            pair_N[n] = contexts.setdefault((p, target), len(contexts))
        length_P = np.array([length for length, _ in passes], np.int64)
        pair_C2 = np.array(list(contexts), np.int64).reshape(-1, 2)
        by_length = np.argsort(length_P, kind="stable")  # old indices of the passes, in their new order
        new_P = np.argsort(by_length, kind="stable")
        by_pass = np.lexsort((pair_C2[:, 1], new_P[pair_C2[:, 0]]))
        sorted_C2 = pair_C2[by_pass]
        context_N = np.argsort(by_pass, kind="stable")[pair_N]
        return cls(
            request,
            np.array(first, np.int64)[by_length],
            length_P[by_length],
            new_P[sorted_C2[:, 0]],
            sorted_C2[:, 1],
            context_N,
        )

    def batches(self, rows: int, width: Callable[[int], int]) -> Iterator[tuple[slice, PassBatch]]:
        """Batches of passes of equal length, with the slice of their conditionals.

        A batch has at most `rows` positions, or one pass. `width`: the positions in the network for a text of some length.
        """
        for length in np.unique(self.length_P).tolist():
            a, b = np.searchsorted(self.length_P, [length, length + 1]).tolist()
            count = max(1, rows // width(length))
            for first in range(a, b, count):
                stop = min(first + count, b)
                c, d = np.searchsorted(self.pass_C, [first, stop]).tolist()
                requests = [self.request(int(n)) for n in self.first_P[first:stop]]
                fed_BL, rank_BL = (np.stack([each[i] for each in requests]) for i in (0, 1))
                yield slice(c, d), PassBatch(fed_BL, rank_BL, self.pass_C[c:d] - first, self.target_C[c:d])


@dataclass(frozen=True)
class Reader:
    """Runs passes of a network and reads the conditionals."""

    network: Network
    head: Head
    run: Callable[[PassBatch], Tensor]  # hidden states of the conditionals, C × H
    width: Callable[[int], int]  # the positions in the network for a text of so many tokens

    @sealed
    def answer(self, plan: Plan, token_N: Ints, how: Settings, asked: AskedTokens = NONE) -> Answer:
        """The factor of every token, with its rank, the entropy and the alternatives. Raises ModelError for NaN."""
        answer, computed = Answer.empty(len(token_N), how, len(plan.pass_C), asked), 0
        by_context, space = np.argsort(plan.context_N, kind="stable"), workspace(self.head, self.network.device)
        for span, batch in plan.batches(how.rows or usual_rows(self.network), self.width):
            a, b = np.searchsorted(plan.context_N[by_context], [span.start, span.stop]).tolist()
            factor_F = by_context[a:b]
            row_F = torch.from_numpy(plan.context_N[factor_F] - span.start)
            token_F = torch.from_numpy(token_N[factor_F])
            hidden_CH = self.run(batch)
            asked_F, index_X = asked.select(factor_F)
            factors = read(self.head, hidden_CH, row_F, token_F, how.top, space, how.temperature, how.sets, asked_F)
            answer.store(factor_F, fetched(factors), index_X)
            computed += len(batch.fed_BL) * self.width(batch.fed_BL.shape[1])
            if how.progress is not None:
                how.progress(span.stop, len(plan.pass_C))
        refuse_nan(answer.logprobs, self.network.name)
        return replace(answer, rows=computed)

    @sealed
    def conditionals(self, plan: Plan, *, rows: int | None, temperature: float = 1.0) -> Floats:
        """log Pr(v | …) for every v of the vocabulary, N × V. Raises ModelError for NaN."""
        logprob_CV = np.empty((len(plan.pass_C), self.head.size))
        space, count = workspace(self.head, self.network.device), block_rows(self.head.size)
        for span, batch in plan.batches(rows or usual_rows(self.network), self.width):
            for first, hidden_MH in zip(range(span.start, span.stop, count), self.run(batch).split(count), strict=True):
                logprob_MV = Distributions.at(self.head, hidden_MH, space, temperature=temperature).logprobs(len(hidden_MH))
                logprob_CV[first : first + len(hidden_MH)] = logprob_MV.cpu().numpy()
        refuse_nan(logprob_CV, self.network.name)
        return logprob_CV[plan.context_N]


def logprobs(logits_TV: Tensor) -> Floats:
    """The log softmax of each row, in float64."""
    return logits_TV.double().log_softmax(-1).cpu().numpy()


def head_logprobs(head: Head, hidden_CH: Tensor) -> Floats:
    """The same for the logits of a head, C × V. For trials, which are small."""
    return logprobs(all_logits(head, hidden_CH))
