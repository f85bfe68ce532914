"""The readout of a linear head on a GPU: log-sum-exp, entropy, variance, ranks and the top k tokens, without logits in memory.

One pass over the weights. How the vocabulary is split depends on its size alone, all tiles have one shape, and nothing is
summed in an order that could vary (no atomics, no autotuning at run time): the values of a row depend on that row alone.

Each reduction that the fused head supports has a counterpart here, which computes its columns from the sweep's results.

Shapes: R rows, M distinct rows that factors are read from, F factors, G groups of up to T factors of one row, S splits of the
vocabulary, V vocabulary, H hidden width, k alternatives, J sets of tokens, X asked tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from chainrule.engine.head.asked import NONE, AskedTokens
from chainrule.engine.head.launch import Launch
from chainrule.engine.head.other_factors import OtherFactors
from chainrule.engine.head.reductions import (
    Asked,
    Block,
    Columns,
    Entropy,
    Rank,
    Reduction,
    SetMass,
    Target,
    TopK,
    Variance,
    factor_reductions,
    logprob_of,
    merged,
)
from chainrule.models.head import LinearHead
from chainrule.ops.gpu import takes_triton
from chainrule.ops.sealed import sealed
from chainrule.ops.transfer import together
from chainrule.text.token_sets import NO_SETS, TokenSets
from chainrule.verdict import Verdict

TARGETS = 16  # factors of a row, beyond its first, that one pass over its logits ranks
MOST_TOP = 16  # alternatives
WARMEST = 16.0  # the highest temperature that the kernels compute in float32, and the reciprocal of the lowest


@dataclass(frozen=True)
class _SweepResult:
    """The results of one sweep over the vocabulary for F factors of M rows."""

    launch: Launch
    row_F: Tensor
    logit_F: Tensor
    greater_F: Tensor  # the number of logits that exceed the factor's
    index_F: Tensor  # the row of each factor among the M
    logsumexp_M: Tensor  # float64
    entropy_M: Tensor  # float64
    variance_M: Tensor  # float64
    top_id_Mk: Tensor
    top_logit_Mk: Tensor
    set_logprob_MJ: Tensor  # float64
    temperature: float
    largest_M: Tensor | None  # float64; None at temperature 1

    def logprob(self, logits: Tensor, index: Tensor | slice) -> Tensor:
        """log Pr (float64) of tokens with these logits at these rows of the M."""
        largest_M = None if self.largest_M is None else self.largest_M[index]
        return logprob_of(logits, self.logsumexp_M[index], self.temperature, largest_M)


def _target(reduction: Target, result: _SweepResult) -> Columns:
    return {"logprobs": result.logprob(result.logit_F, result.index_F)}


def _rank(reduction: Rank, result: _SweepResult) -> Columns:
    return {"ranks": result.greater_F + 1}


def _entropy(reduction: Entropy, result: _SweepResult) -> Columns:
    return {"entropies": result.entropy_M[result.index_F]}


def _variance(reduction: Variance, result: _SweepResult) -> Columns:
    return {"logprob_variances": result.variance_M[result.index_F]}


def _top_k(reduction: TopK, result: _SweepResult) -> Columns:
    id_Mk, logit_Mk = (x[:, : reduction.count] for x in (result.top_id_Mk, result.top_logit_Mk))
    logprob_Mk = result.logprob(logit_Mk, slice(None))
    return {"top_ids": id_Mk[result.index_F], "top_logprobs": logprob_Mk[result.index_F]}


def _set_mass(reduction: SetMass, result: _SweepResult) -> Columns:
    return {"set_logprobs": result.set_logprob_MJ[result.index_F]}


def _asked(reduction: Asked, result: _SweepResult) -> Columns:
    asked_X = [torch.from_numpy(x) for x in (reduction.asked.factor_X, reduction.asked.token_X)]
    factor_X, token_X = together(asked_X, result.row_F.device)
    logit_X = result.launch.targets(result.row_F[factor_X], token_X)
    return {"asked_ids": token_X, "asked_logprobs": result.logprob(logit_X, result.index_F[factor_X])}


_COUNTERPARTS: dict[type[Reduction], Callable[[Any, _SweepResult], Columns]] = {
    Target: _target,
    Rank: _rank,
    Entropy: _entropy,
    Variance: _variance,
    TopK: _top_k,
    SetMass: _set_mass,
    Asked: _asked,
}


def supports(head: Any, reductions: Sequence[Reduction], temperature: float = 1.0) -> Verdict:
    """Whether the fused head can compute these reductions of this head; otherwise the plain readout does."""
    for reduction in reductions:
        if type(reduction) not in _COUNTERPARTS:
            return Verdict(False, f"the fused head has no counterpart of {type(reduction).__name__}")
        if isinstance(reduction, Asked) and reduction.asked.drawn_X.any():
            return Verdict(False, "the fused head has no logits to draw tokens from")
    if not isinstance(head, LinearHead):
        return Verdict(False, f"the fused head computes linear heads only, and this is {type(head).__name__}")
    if not 0 <= (top := _top(reductions)) <= (most := min(MOST_TOP, head.size)):
        return Verdict(False, f"the fused head keeps at most {most} alternatives, not {top}")
    if not 1 / WARMEST <= temperature <= WARMEST:
        return Verdict(False, f"the fused head computes temperatures from {1 / WARMEST:g} to {WARMEST:g}, not {temperature:g}")
    weight = head.linear.weight
    if weight.dtype not in (torch.bfloat16, torch.float16, torch.float32) or weight.stride(1) != 1:
        return Verdict(False, f"the fused head has no kernel for weights of {weight.dtype} with strides {weight.stride()}")
    if not takes_triton(weight):
        return Verdict(False, f"Triton does not run on {weight.device} here")
    return Verdict(True, "a linear head, reductions with counterparts, and Triton")


def _top(reductions: Sequence[Reduction]) -> int:
    return max((reduction.count for reduction in reductions if isinstance(reduction, TopK)), default=0)


def _sets(reductions: Sequence[Reduction]) -> TokenSets:
    return next((reduction.sets for reduction in reductions if isinstance(reduction, SetMass)), NO_SETS)


def read_fused(
    head: Any, hidden_RH: Tensor, row_F: Tensor, token_F: Tensor, top: int = 0, temperature: float = 1.0,
    sets: TokenSets = NO_SETS, asked: AskedTokens = NONE,
) -> Columns:  # fmt: skip
    """The statistics of the factors Pr(token_F | the context at row_F), as `readout.read` returns them; see `supports`."""
    return merged(reduce_fused(head, hidden_RH, row_F, token_F, factor_reductions(top, sets, asked), temperature))


@sealed
def reduce_fused(
    head: Any,
    hidden_RH: Tensor,
    row_F: Tensor,
    token_F: Tensor,
    reductions: Sequence[Reduction],
    temperature: float = 1.0,
) -> list[Columns]:
    """The columns of each reduction, as `readout.reduce` returns them; see `supports`.

    `row_F` ascends. It is best on the CPU, as is `token_F`, since reading it from a GPU waits for the GPU.
    """
    if not len(row_F):
        return [reduction.columns(Block.empty(head, hidden_RH.device)) for reduction in reductions]
    with torch.cuda.device_of(head.linear.weight):  # Triton launches on the current device
        result = _sweep(head, hidden_RH, row_F, token_F, _top(reductions), _sets(reductions), float(temperature))
        return [_COUNTERPARTS[type(reduction)](reduction, result) for reduction in reductions]


def _sweep(
    head: LinearHead, hidden_RH: Tensor, row_F: Tensor, token_F: Tensor, top: int, sets: TokenSets, temperature: float
) -> _SweepResult:
    launch = Launch.of(head, hidden_RH, temperature)
    row_M, index_F, count_M = torch.unique_consecutive(row_F, return_inverse=True, return_counts=True)
    first_M = count_M.cumsum(0) - count_M
    others = OtherFactors.of(row_F, first_M[index_F], TARGETS).tensors if len(row_M) < len(row_F) else ()
    host = [row_M, index_F, first_M, row_F, token_F, torch.from_numpy(sets.member_V), *others]
    row_M, index_F, first_M, row_F, token_F, member_V, *others = together(host, hidden_RH.device)
    logit_F = launch.targets(row_F, token_F)
    parts = [
        launch.sweep(row_M[part], logit_F[first_M[part], None], token_F[first_M[part], None], top, member_V, len(sets))
        for part in launch.parts(len(row_M), 1, top + len(sets))
    ]
    logsumexp_M, entropy_M, variance_M, largest_M, greater_M1, top_id_Mk, top_logit_Mk, set_logprob_MJ = (
        torch.cat(p) for p in zip(*parts, strict=True)
    )
    greater_F = torch.empty_like(token_F)
    greater_F[first_M] = greater_M1[:, 0]
    if others:
        OtherFactors(TARGETS, *others).rank(launch, token_F, logit_F, greater_F)
    largest_M = None if temperature == 1 else largest_M
    return _SweepResult(
        launch, row_F, logit_F, greater_F, index_F, logsumexp_M, entropy_M, variance_M, top_id_Mk, top_logit_Mk,
        set_logprob_MJ, temperature, largest_M,
    )  # fmt: skip
