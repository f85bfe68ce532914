"""Reductions of conditional distributions to values per factor: logprob, rank, entropy, variance, top tokens, set masses.

The readout computes the logits of a block of rows and their log-sum-exp once, and passes them to each reduction.
A new statistic is a subclass of `Reduction`. One of every factor is also listed in `factor_reductions` and has a field of that
name in `statistics.Statistics`.

Shapes: M rows of a block, F factors, N factors of one row, V vocabulary, k alternatives, K sets
of tokens, X asked tokens, D of them drawn.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from chainrule.engine.head.asked import NONE, AskedTokens
from chainrule.engine.head.most_probable import most_probable
from chainrule.models.base import Head
from chainrule.models.head import TILE
from chainrule.ops import native
from chainrule.ops.transfer import sent, together
from chainrule.text.token_sets import NO_SETS, TokenSets

FEW_ROWS = 64  # rows at a time, so that they fit in the cache
SORT = 64  # factors of one row from which sorting the row is cheaper than counting for each factor

Columns = dict[str, Tensor]  # values by name; those of factors have the names of the fields of `statistics.Statistics`


@dataclass(frozen=True)
class Block:
    """The conditional distributions at M rows, and the F factors read from them. Rows at the end may be padding."""

    logits_MV: Tensor
    logsumexp_M: Tensor  # float64
    entropy_M: Tensor  # float64, in nats
    variance_M: Tensor  # float64: of log Pr, in nats²
    row_F: Tensor  # ascending
    token_F: Tensor
    temperature: float = 1.0
    largest_M: Tensor | None = None  # float64: the largest logit of each row, if the temperature is not 1
    first: int = 0  # the number of its first factor among those of the call
    host_row_F: Tensor | None = None  # `row_F` on the CPU, where reading it waits for nothing

    @classmethod
    def empty(cls, head: Head, device: torch.device) -> Block:
        """No rows and no factors; reductions return columns of the right type and width for it."""
        no_rows = torch.empty(0, dtype=torch.float64, device=device)
        logits_MV = torch.empty(0, head.size, dtype=head.dtype, device=device)
        return cls(logits_MV, no_rows, no_rows, no_rows, no_rows.long(), no_rows.long())

    @property
    def known_row_F(self) -> Tensor:
        """`row_F`, on the CPU if it is known there."""
        return self.row_F if self.host_row_F is None else self.host_row_F

    @property
    def rows(self) -> int:
        """The number of first rows that hold all rows that are read, if that is known on the CPU: padding has equal logits."""
        known = self.known_row_F.device.type == "cpu" and len(self.known_row_F) > 0
        return int(self.known_row_F[-1]) + 1 if known else len(self.logits_MV)

    @cached_property
    def logit_F(self) -> Tensor:
        """The logit of each factor's token."""
        return self.logits_MV[self.row_F, self.token_F]

    def logprob(self, logits: Tensor, row: Tensor | slice) -> Tensor:
        """log Pr (float64) of tokens with these logits at these rows. Logits with more dimensions than rows share the rows."""
        return logprob_of(logits, self.logsumexp_M[row], self.temperature, self._largest(row))

    def _largest(self, row: Tensor | slice) -> Tensor | None:
        return None if self.largest_M is None else self.largest_M[row]


class Reduction(ABC):
    """One statistic of the conditional distribution of each factor."""

    @abstractmethod
    def columns(self, block: Block) -> Columns:
        """One tensor or more by name, each with F rows (`Asked`: X). Must not write to the logits: others read them."""


@dataclass(frozen=True)
class Target(Reduction):
    """log Pr of the factor's token, in nats (float64)."""

    def columns(self, block: Block) -> Columns:
        return {"logprobs": block.logprob(block.logit_F, block.row_F)}


@dataclass(frozen=True)
class Rank(Reduction):
    """The rank of the factor's token: one more than the number of tokens that are more probable."""

    def columns(self, block: Block) -> Columns:
        """Counts greater logits once per row for its first factor; a row with more than `SORT` factors is sorted instead."""
        logits_MV, row_F, logit_F = block.logits_MV, block.row_F, block.logit_F
        row_M = torch.arange(len(logits_MV), dtype=torch.int64, device=row_F.device)
        first_M = torch.searchsorted(row_F, row_M).clamp_max(len(row_F) - 1)
        rank_F = count_greater(logits_MV, logit_F[first_M])[row_F] + 1
        rows, counts = torch.unique_consecutive(block.known_row_F, return_counts=True)
        stops, shared = counts.cumsum(0), counts > 1
        for row, stop, count in zip(*(x[shared].tolist() for x in (rows, stops, counts)), strict=True):
            of_row = slice(stop - count, stop)
            logits_V, logit_N = logits_MV[row], logit_F[of_row]
            if len(logit_N) <= SORT:
                rank_F[of_row] = count_greater(logits_V.expand(len(logit_N), -1), logit_N) + 1
            else:
                rank_F[of_row] = len(logits_V) - torch.searchsorted(logits_V.sort().values, logit_N, right=True) + 1
        return {"ranks": rank_F}


@dataclass(frozen=True)
class Entropy(Reduction):
    """The entropy of the whole conditional distribution, in nats (float64)."""

    def columns(self, block: Block) -> Columns:
        return {"entropies": block.entropy_M[block.row_F]}


@dataclass(frozen=True)
class Variance(Reduction):
    """The variance of log Pr under the whole conditional distribution, in nats² (float64)."""

    def columns(self, block: Block) -> Columns:
        return {"logprob_variances": block.variance_M[block.row_F]}


@dataclass(frozen=True)
class TopK(Reduction):
    """The `count` most probable tokens: their ids, and their log Pr in nats (float64), both F × k.

    They are ordered by logit, and tokens with equal logits by id.
    """

    count: int

    def columns(self, block: Block) -> Columns:
        row_F = block.row_F
        if not self.count:
            empty_F0 = row_F.new_empty(len(row_F), 0)
            return {"top_ids": empty_F0, "top_logprobs": empty_F0.double()}
        read = slice(block.rows)
        id_Mk = most_probable(block.logits_MV[read], self.count)
        logprob_Mk = block.logprob(block.logits_MV[read].gather(-1, id_Mk), read)
        return {"top_ids": id_Mk[row_F], "top_logprobs": logprob_Mk[row_F]}


@dataclass(frozen=True)
class SetMass(Reduction):
    """log of the probability that the token is in each of K sets, in nats (float64), F × K; −inf if all are impossible."""

    sets: TokenSets

    def columns(self, block: Block) -> Columns:
        return {"set_logprobs": self._logprobs(block)[block.row_F]}

    def _logprobs(self, block: Block) -> Tensor:
        logits_MV, sets = block.logits_MV, self.sets
        if not sets:
            return block.logsumexp_M.new_empty(len(logits_MV), 0)
        if block.largest_M is None and native.supports_rows(logits_MV):
            top_MK, sum_MK = native.set_sums(logits_MV, torch.from_numpy(sets.member_V), len(sets))
            return (top_MK.double() + sum_MK.double().log()) - block.logsumexp_M[:, None]
        ids = [sent(sets.ids(k), logits_MV.device) for k in range(len(sets))]
        few_rows = range(0, len(logits_MV), FEW_ROWS)
        return torch.cat([_set_logprobs(block, ids, slice(first, first + FEW_ROWS)) for first in few_rows])


def _set_logprobs(block: Block, ids: Sequence[Tensor], rows: slice) -> Tensor:
    """`SetMass` of some rows, M × K, from their log probabilities in float64."""
    mass_MK = block.logsumexp_M.new_full((len(block.logits_MV[rows]), len(ids)), -torch.inf)
    for k, own in enumerate(ids):
        if len(own):
            mass_MK[:, k] = block.logprob(block.logits_MV[rows, own], rows).logsumexp(-1)
    return mass_MK


@dataclass(frozen=True)
class Asked(Reduction):
    """The asked tokens and their log Pr in nats (float64): X values, in the order of their factors.

    A draw from a distribution in which all tokens are impossible has the id −1, and −inf.
    """

    asked: AskedTokens

    def columns(self, block: Block) -> Columns:
        asked, _ = self.asked.select(np.arange(block.first, block.first + len(block.row_F)))
        host_X = torch.from_numpy(asked.factor_X), torch.from_numpy(asked.token_X), torch.from_numpy(asked.drawn_X)
        factor_X, token_X, drawn_X = together(host_X, block.logits_MV.device)
        row_X = block.row_F[factor_X]
        if asked.drawn_X.any():
            index_D = np.flatnonzero(asked.drawn_X)
            row_D = block.known_row_F[torch.from_numpy(asked.factor_X[index_D]).to(block.known_row_F.device)]
            token_D = _drawn(block, row_D, torch.from_numpy(asked.uniform_X[index_D]))
            token_X = token_X.index_put((sent(index_D, token_X.device),), token_D)
        logprob_X = block.logprob(block.logits_MV[row_X, token_X], row_X)
        return {"asked_ids": token_X.masked_fill(drawn_X & (logprob_X == -torch.inf), -1), "asked_logprobs": logprob_X}


def _drawn(block: Block, row_X: Tensor, uniform_X: Tensor) -> Tensor:
    """A token for each of these uniform numbers, from the distribution at its row. Rows ascend."""
    row_M, count_M = torch.unique_consecutive(row_X, return_counts=True)
    parts, first = [], 0
    row_M, uniform_X = together([row_M, uniform_X], block.logits_MV.device)
    for few, counts in zip(row_M.split(FEW_ROWS // 8), count_M.split(FEW_ROWS // 8), strict=True):
        sum_MV = torch.cumsum(block.logprob(block.logits_MV[few], few).exp_(), -1)
        for sum_V, count in zip(sum_MV, counts.tolist(), strict=True):
            parts.append(drawn(sum_V, uniform_X[first : first + count]))
            first += count
    return torch.cat(parts)


def drawn(sum_M: Tensor, uniform_N: Tensor) -> Tensor:
    """The index that each number in [0, 1) is mapped to by the inverse of cumulative sums of probabilities."""
    last = torch.searchsorted(sum_M, sum_M[-1])  # of probability above 0; rounding must not select one after it
    return torch.searchsorted(sum_M, uniform_N * sum_M[-1], right=True).clamp_max(last)


def logprob_of(logits: Tensor, logsumexp_M: Tensor, temperature: float, largest_M: Tensor | None) -> Tensor:
    """log Pr (float64) of tokens with these logits, M or M × N, at M rows.

    If the temperature T is not 1, the log-sum-exp is that of (z − m) / T, where m is the row's largest logit: the quotient is
    exact for the most probable tokens, and no temperature is so low that all tokens become impossible.
    """
    return normalisable(logits, temperature, largest_M) - logsumexp_M[_columns(logits)]


def normalisable(logits: Tensor, temperature: float, largest_M: Tensor | None) -> Tensor:
    """The numbers that the log-sum-exp is taken of (float64): z, or (z − m) / T if the temperature T is not 1."""
    z = logits.double()
    return z if largest_M is None else divided(z - largest_M[_columns(logits)], temperature)


def _columns(logits: Tensor) -> Any:
    """The index that gives each row of M or M × N logits its own number."""
    return (slice(None), None) if logits.dim() > 1 else slice(None)


def divided(below: Tensor, temperature: float) -> Tensor:
    """(z − m) / T. If T is so low that its reciprocal may overflow: 0 for the most probable tokens, −inf for the others."""
    return below.masked_fill(below < 0, -torch.inf) if temperature < sys.float_info.min else below / temperature


def factor_reductions(top: int, sets: TokenSets = NO_SETS, asked: AskedTokens = NONE) -> tuple[Reduction, ...]:
    """The reductions that give the statistics of every factor, with `top` alternatives, masses of `sets` and asked tokens."""
    of_factors = Target(), Rank(), Entropy(), Variance(), TopK(top), SetMass(sets)
    return (*of_factors, Asked(asked)) if len(asked) else of_factors


def statistics_of(block: Block, top: int, sets: TokenSets = NO_SETS, asked: AskedTokens = NONE) -> Columns:
    """The columns of `factor_reductions` for the factors of a block."""
    return merged(reduction.columns(block) for reduction in factor_reductions(top, sets, asked))


def merged(columns: Iterable[Columns]) -> Columns:
    """The columns of several reductions together."""
    return {name: column for each in columns for name, column in each.items()}


def count_greater(logits_MV: Tensor, logit_M: Tensor) -> Tensor:
    """The number of logits of each row that exceed the row's `logit_M`, int64.

    PyTorch counts tile by tile in floating point, which is 17 times as fast as in integers.
    """
    if native.supports_rows(logits_MV):
        return native.count_greater(logits_MV, logit_M)
    count_M = torch.zeros_like(logit_M, dtype=torch.long)
    for tile_MV in logits_MV.split(TILE, -1):
        greater_MV = torch.empty_like(tile_MV, memory_format=torch.contiguous_format)
        count_M += torch.gt(tile_MV, logit_M[:, None], out=greater_MV).sum(-1).long()
    return count_M
