"""Moments of conditional distributions: log-sum-exp, entropy, and the variance of log Pr, from one pass over the logits.

A tile of the vocabulary gives m, Σ e, Σ e · d and Σ e · d², where m is its largest logit, d = z − m and e = exp(d). Sums
around m keep the digits of distributions with large logits, and of those that are nearly certain. The tiles are combined in
float64. The variance of equal probabilities is exactly 0 (d = 0 in every tile), and so is that of a certain token.

Shapes: M rows of a block, T tiles of the vocabulary, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from chainrule.engine.head.reductions import FEW_ROWS, divided
from chainrule.ops import native

LEAST = -800.0  # exp of this is 0 in float64. Differences are not less, so that 0 · −inf = 0 (an impossible event)

Moments = tuple[Tensor, Tensor, Tensor, Tensor]  # m, Σ e, Σ e · d and Σ e · d² of each row


def moments(logits_MV: Tensor) -> Moments:
    """The moments of each row of a tile."""
    if native.supports_rows(logits_MV):
        return native.moments(logits_MV)
    return _joined([in_passes(few_MV) for few_MV in logits_MV.split(FEW_ROWS)])  # these fit in the cache between passes


def moments_at(logits_MV: Tensor, largest_M: Tensor, temperature: float) -> Moments:
    """The moments of (z − largest) / temperature. The quotients are rounded once, from float64."""
    few_rows = zip(logits_MV.split(FEW_ROWS), largest_M.split(FEW_ROWS), strict=True)
    return _joined([moments(divided(z.double() - m[:, None], temperature).to(logits_MV.dtype)) for z, m in few_rows])


def largest(logits_MV: Tensor) -> Tensor:
    """The largest logit of each row, float64; 0 if all tokens are impossible."""
    largest_M = logits_MV.amax(-1).double()
    return largest_M.masked_fill(largest_M == -torch.inf, 0.0)


def combined(tiles: Sequence[Moments]) -> tuple[Tensor, Tensor, Tensor]:
    """The log-sum-exp, the entropy and the variance of log Pr of each row, float64, from the moments of all tiles."""
    top_TM, sum_TM, dot_TM, square_TM = (torch.stack(t).double() for t in zip(*tiles, strict=True))
    logsumexp_M = torch.logsumexp(top_TM + sum_TM.log(), 0)
    below_TM = (top_TM - top_TM.amax(0)).clamp_min(LEAST)
    weight_TM = below_TM.exp()
    sum_M = (weight_TM * sum_TM).sum(0)
    mean_M = (weight_TM * (dot_TM + below_TM * sum_TM)).sum(0) / sum_M  # the expected logit, less the largest one
    from_mean_TM = below_TM - mean_M
    square_M = (weight_TM * (square_TM + from_mean_TM * (2 * dot_TM + from_mean_TM * sum_TM))).sum(0)
    return logsumexp_M, sum_M.log() - mean_M, (square_M / sum_M).clamp_min(0.0)


def of_logprobs(logprob_MV: Tensor) -> tuple[Tensor, Tensor]:
    """The entropy and the variance of log Pr of each row of log probabilities, float64; 0 if all tokens are impossible."""
    _, entropy_M, variance_M = combined([in_passes(logprob_MV)])
    return entropy_M.nan_to_num(0.0), variance_M.nan_to_num(0.0)


def in_passes(logits_MV: Tensor) -> Moments:
    """The moments of each row in plain PyTorch."""
    top_M = logits_MV.amax(-1)
    below_MV = logits_MV.sub(top_M.clamp_min(torch.finfo(top_M.dtype).min)[:, None]).clamp_min_(LEAST)
    weight_MV = below_MV.exp()
    sum_M, dot_M = weight_MV.sum(-1), torch.linalg.vecdot(weight_MV, below_MV)
    return top_M, sum_M, dot_M, torch.linalg.vecdot(weight_MV.mul_(below_MV), below_MV)


def _joined(parts: Sequence[Moments]) -> Moments:
    """The moments of the rows of all parts."""
    top_M, sum_M, dot_M, square_M = (torch.cat(each) for each in zip(*parts, strict=True))
    return top_M, sum_M, dot_M, square_M
