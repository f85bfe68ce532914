"""A factor opened: the logits that it is read from, their log-sum-exp, and the norm of the hidden state.

Shapes: N nodes of a forest, R rows, F factors, V vocabulary, H width of a hidden state, k largest logits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from chainrule._types import Floats, Ints
from chainrule.engine.head.asked import NONE, AskedTokens
from chainrule.engine.head.most_probable import most_probable
from chainrule.engine.head.readout import reduce, workspace
from chainrule.engine.head.reductions import Block, Columns, Reduction, merged, normalisable
from chainrule.models.base import Head


@dataclass(frozen=True, eq=False)
class Opened:
    """N factors with the logits z that they are read from: `logits` − `logsumexps` is log Pr, bit for bit.

    At a temperature T other than 1, `logits` and `top_logits` are (z − m) / T, where m is the largest logit of the row, and
    `logsumexps` is the log-sum-exp of these numbers. All are float64.
    """

    logits: Floats  # of the token of each factor
    logsumexps: Floats
    hidden_norms: Floats  # the Euclidean norm of the hidden state
    top_ids: Ints  # N × k: the tokens with the largest logits; those with equal logits by id
    top_logits: Floats  # N × k
    hidden_width: list[int] = field(default_factory=list)  # H, once a factor is known

    @classmethod
    def empty(cls, count: int, top: int) -> Opened:
        """`count` factors with `top` largest logits, to be stored."""
        logit_N, logsumexp_N, norm_N = np.full((3, count), np.nan)
        return cls(logit_N, logsumexp_N, norm_N, np.zeros((count, top), np.int64), np.full((count, top), np.nan))

    def store(self, node_F: Ints, columns: Mapping[str, NDArray[Any]]) -> None:
        """Fill in the factors of these nodes, from columns of `opening_reader`."""
        for name in _COLUMNS:
            getattr(self, name)[node_F] = columns[name]
        self.hidden_width[:] = columns["width"].tolist()

    def __getitem__(self, index: Ints | slice) -> Opened:
        """These factors alone."""
        return replace(self, **{name: getattr(self, name)[index] for name in _COLUMNS})


_COLUMNS = [each.name for each in fields(Opened)][:-1]


@dataclass(frozen=True)
class Logits(Reduction):
    """The logit of the factor's token, the log-sum-exp, and the `top` largest logits."""

    top: int

    def columns(self, block: Block) -> Columns:
        logits_MV, row_F = block.logits_MV[: block.rows], block.row_F
        ids_Mk = most_probable(logits_MV, self.top)
        largest_F = None if block.largest_M is None else block.largest_M[row_F]
        top_Fk = logits_MV.gather(1, ids_Mk)[row_F]
        return {
            "logits": normalisable(block.logit_F, block.temperature, largest_F),
            "logsumexps": block.logsumexp_M[row_F],
            "top_ids": ids_Mk[row_F],
            "top_logits": normalisable(top_Fk, block.temperature, largest_F),
        }


def opening_reader(head: Head, device: torch.device, top: int, temperature: float) -> Callable[..., Columns]:
    """A reader of hidden states, as the engine takes it, for the columns of `Opened`. It has its own memory for logits."""
    workspace_MV = workspace(head, device)

    def reader(hidden_RH: Tensor, row_F: Tensor, token_F: Tensor, *, asked: AskedTokens = NONE) -> Columns:
        norm_R = torch.linalg.vector_norm(hidden_RH, dim=-1, dtype=torch.float64)
        columns = merged(reduce(head, hidden_RH, row_F, token_F, (Logits(top),), workspace_MV, temperature))
        width = torch.tensor(hidden_RH.shape[-1:], dtype=torch.int64, device=device)
        return {**columns, "hidden_norms": norm_R[row_F.to(device)], "width": width}

    return reader
