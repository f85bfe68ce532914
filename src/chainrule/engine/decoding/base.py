"""Decoding trees: the interface that generation uses, and the distributions at their nodes.

Shapes: B nodes added at a time, M rows with padding, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from chainrule._types import Ints
from chainrule.engine.execution import CachedPrefix
from chainrule.engine.head.readout import ROW_MULTIPLE, Distributions
from chainrule.engine.head.reductions import Block, statistics_of
from chainrule.engine.question import Answer, Settings, refuse_nan
from chainrule.models.base import Model
from chainrule.ops.transfer import fetched, on
from chainrule.statistics import Statistics

MANY = 8  # number of rows from which computing them with the bits of scoring is cheaper than scoring them again

Feed = Callable[[Ints, Ints], Tensor]  # tokens and their depths → inputs of the network


@dataclass(frozen=True)
class NextTokens:
    """Added nodes, and the distribution of the token after each."""

    nodes: list[int]
    logits_BV: Tensor
    logsumexp_B: Tensor  # float64
    entropy_B: Tensor
    variance_B: Tensor

    def logprobs(self, row: int) -> Tensor:
        """log Pr(v | the path of node `row`), V in float64."""
        return self.logits_BV[row].double() - self.logsumexp_B[row]

    def statistics(self, rows: Sequence[int], tokens: Sequence[int], top: int) -> Statistics:
        """The statistics of each token after the node of its row, with `top` alternatives. `rows` ascend."""
        host_2F = torch.tensor([rows, tokens], dtype=torch.int64, device="cpu")
        row_F, token_F = on(host_2F, self.logits_BV.device)
        answer = Answer.empty(len(tokens), Settings(top), 0)
        block = Block(self.logits_BV, self.logsumexp_B, self.entropy_B, self.variance_B, row_F, token_F, host_row_F=host_2F[0])
        answer.store(slice(None), fetched(statistics_of(block, top)))
        return answer.statistics


class DecodingTree(Protocol):
    """Continuations of one prefix. Nodes are numbered in the order of their addition; node 0 is the end of the prefix."""

    exact: bool  # whether all nodes so far have the bits of scoring

    @property
    def cached_prefix(self) -> CachedPrefix | None:
        """The cached rows of the prefix, for scoring the continuations. No nodes may be added afterwards."""
        ...

    def root(self) -> NextTokens:
        """The distribution after the prefix. Repeated calls return the same result."""
        ...

    def extend(self, parent_B: Sequence[int], token_B: Sequence[int]) -> NextTokens:
        """Add token_B[b] after node parent_B[b], for every b. Raises ModelError on NaN."""
        ...


def read_next(model: Model, hidden_BH: Tensor, nodes: list[int], *, same_bits: bool) -> NextTokens:
    """The distributions at these hidden states, with the bits of scoring if `same_bits`. Raises ModelError on NaN."""
    head, rows = model.head, len(hidden_BH)
    workspace_MV = torch.empty(rows + ROW_MULTIPLE, head.size, dtype=head.dtype, device=hidden_BH.device)
    at = Distributions.at(head, hidden_BH, workspace_MV, same_bits=same_bits)
    refuse_nan(at.logsumexp_M[:rows].numpy(force=True), model.name)
    return NextTokens(nodes, at.logits_MV[:rows], at.logsumexp_M[:rows], at.entropy_M[:rows], at.variance_M[:rows])
