"""The readout of a linear head on a GPU: log-sum-exp, entropy, ranks and the top k tokens, without logits in memory.

One pass over the weights. How the vocabulary is split depends on its size alone, all tiles have one shape, and nothing is
summed in an order that could vary (no atomics, no autotuning at run time): the values of a row depend on that row alone.

Each reduction that the fused head supports has a counterpart here, which computes its columns from the sweep's results.

Shapes: R rows, M distinct rows that factors are read from, F factors, G groups of up to T factors of one row, S splits of the
vocabulary, V vocabulary, H hidden width, k alternatives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from chainrule.engine.head.other_factors import OtherFactors
from chainrule.engine.head.reductions import (
    Block,
    Columns,
    Entropy,
    Rank,
    Reduction,
    Target,
    TopK,
    factor_reductions,
    logprob_of,
    merged,
)
from chainrule.models.head import LinearHead
from chainrule.ops.gpu import takes_triton
from chainrule.ops.sealed import sealed
from chainrule.ops.transfer import on
from chainrule.verdict import Verdict


@dataclass(frozen=True)
class Tile:
    """The shape of a tile of logits, size × size, and how much of the hidden width is multiplied at a time."""

    size: int
    depth: int
    num_warps: int
    num_stages: int


# By bytes per weight: limited to 96 KiB of shared memory, and by the registers of a thread. Float32 uses no tensor cores.
TILES = {2: Tile(128, 64, num_warps=8, num_stages=3), 4: Tile(64, 16, num_warps=4, num_stages=3)}
SPLIT = 1024  # columns per program: enough programs to fill a GPU even with few rows
TARGETS = 16  # factors of a row, beyond its first, that one pass over its logits ranks
MOST_TOP = 16  # alternatives
WARMEST = 16.0  # the highest temperature that the kernels compute in float32, and the reciprocal of the lowest
COMBINED = 32  # rows whose splits are combined at a time
PARTIALS = 1 << 23  # numbers kept between the sweep and the sum over splits (32 MiB)


@dataclass(frozen=True)
class _SweepResult:
    """The results of one sweep over the vocabulary for F factors of M rows."""

    logit_F: Tensor
    greater_F: Tensor  # the number of logits that exceed the factor's
    index_F: Tensor  # the row of each factor among the M
    logsumexp_M: Tensor  # float64
    entropy_M: Tensor  # float64
    top_id_Mk: Tensor
    top_logit_Mk: Tensor
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


def _top_k(reduction: TopK, result: _SweepResult) -> Columns:
    id_Mk, logit_Mk = (x[:, : reduction.count] for x in (result.top_id_Mk, result.top_logit_Mk))
    logprob_Mk = result.logprob(logit_Mk, slice(None))
    return {"top_ids": id_Mk[result.index_F], "top_logprobs": logprob_Mk[result.index_F]}


_COUNTERPARTS: dict[type[Reduction], Callable[[Any, _SweepResult], Columns]] = {
    Target: _target,
    Rank: _rank,
    Entropy: _entropy,
    TopK: _top_k,
}


def supports(head: Any, reductions: Sequence[Reduction], temperature: float = 1.0) -> Verdict:
    """Whether the fused head can compute these reductions of this head; otherwise the plain readout does."""
    for reduction in reductions:
        if type(reduction) not in _COUNTERPARTS:
            return Verdict(False, f"the fused head has no counterpart of {type(reduction).__name__}")
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


def read_fused(head: Any, hidden_RH: Tensor, row_F: Tensor, token_F: Tensor, top: int = 0, temperature: float = 1.0) -> Columns:
    """The statistics of the factors Pr(token_F | the context at row_F), as `readout.read` returns them; see `supports`."""
    return merged(reduce_fused(head, hidden_RH, row_F, token_F, factor_reductions(top), temperature))


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

    `row_F` ascends. It is best on the CPU, since reading it from a GPU waits for the GPU.
    """
    if not len(row_F):
        return [reduction.columns(Block.empty(head, hidden_RH.device)) for reduction in reductions]
    with torch.cuda.device_of(head.linear.weight):  # Triton launches on the current device
        result = _sweep(head, hidden_RH, row_F, token_F, _top(reductions), float(temperature))
        return [_COUNTERPARTS[type(reduction)](reduction, result) for reduction in reductions]


def _sweep(head: LinearHead, hidden_RH: Tensor, row_F: Tensor, token_F: Tensor, top: int, temperature: float) -> _SweepResult:
    launch, to_device = _Launch.of(head, hidden_RH, temperature), partial(on, device=hidden_RH.device)
    row_M, index_F, count_M = torch.unique_consecutive(row_F, return_inverse=True, return_counts=True)
    first_M, others = count_M.cumsum(0) - count_M, None
    if len(row_M) < len(row_F):
        others = OtherFactors.of(row_F, first_M[index_F], TARGETS)
    row_M, index_F, first_M, row_F = to_device(row_M), to_device(index_F), to_device(first_M), to_device(row_F)
    logit_F = launch.targets(row_F, token_F)
    parts = [
        launch.sweep(row_M[part], logit_F[first_M[part], None], token_F[first_M[part], None], top)
        for part in launch.parts(len(row_M), 1, top)
    ]
    logsumexp_M, entropy_M, largest_M, greater_M1, top_id_Mk, top_logit_Mk = (torch.cat(p) for p in zip(*parts, strict=True))
    greater_F = torch.empty_like(token_F)
    greater_F[first_M] = greater_M1[:, 0]
    if others is not None:
        others.rank(launch, token_F, logit_F, greater_F)
    largest_M = None if temperature == 1 else largest_M
    return _SweepResult(
        logit_F, greater_F, index_F, logsumexp_M, entropy_M, top_id_Mk, top_logit_Mk, temperature, largest_M
    )  # fmt: skip


@dataclass(frozen=True)
class _Launch:
    """A head and hidden states in the form that the kernels take."""

    hidden_RH: Tensor
    weight_VH: Tensor
    bias_V: Tensor | None
    scale: float
    softcap: float | None
    temperature: float
    tile: Tile

    @classmethod
    def of(cls, head: LinearHead, hidden_RH: Tensor, temperature: float) -> _Launch:
        weight_VH = head.linear.weight
        hidden_RH = hidden_RH.to(weight_VH.dtype).contiguous()
        tile = TILES[weight_VH.element_size()]
        return cls(hidden_RH, weight_VH, head.linear.bias, head.scale, head.softcap, temperature, tile)

    def parts(self, rows: int, targets: int, top: int) -> list[slice]:
        """The rows in slices whose partial results are at most `PARTIALS` numbers."""
        count = max(self.tile.size, PARTIALS // (self._splits * (3 + targets + 2 * top)))
        return [slice(first, min(first + count, rows)) for first in range(0, rows, count)]

    def targets(self, row_F: Tensor, token_F: Tensor) -> Tensor:
        """The logit of each factor, with the same bits as in the sweep."""
        from chainrule.ops import head_triton  # imports Triton

        kernel: Any = head_triton.target_kernel
        logit_F = torch.empty(len(row_F), dtype=torch.float32, device=row_F.device)
        grid = (_ceil(len(row_F), self.tile.size),)
        kernel[grid](*self._operands, row_F, token_F, logit_F, len(row_F), *self._numbers, **self._options)
        return logit_F

    def sweep(
        self, row_M: Tensor, logit_M1: Tensor, token_M1: Tensor, top: int
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Log-sum-exp, entropy and largest logit of each row (float64), the number of logits above its target, its top k
        tokens and logits."""
        moments_3SM, count_SMT, best_SMk, id_SMk = self._run(row_M, logit_M1, token_M1, top, moments=True)
        logsumexp_M, entropy_M, largest_M = self._combine(moments_3SM)
        best_Mk, index_Mk = best_SMk.transpose(0, 1).flatten(1).topk(top, -1)
        id_Mk = id_SMk.transpose(0, 1).flatten(1).gather(1, index_Mk).long()
        best_Mk = best_Mk.masked_fill(best_Mk <= torch.finfo(torch.float32).min, -torch.inf)
        return logsumexp_M, entropy_M, largest_M, count_SMT.sum(0), id_Mk, best_Mk

    def _combine(self, moments_3SM: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log-sum-exp, entropy and largest logit over all splits, by a kernel.

        PyTorch's order of summation depends on the number of rows.
        """
        from chainrule.ops import head_triton

        kernel: Any = head_triton.combine_kernel
        _, splits, rows = moments_3SM.shape
        out_3M = torch.zeros(3, rows, dtype=torch.float64, device=moments_3SM.device)
        has_temperature = self.temperature != 1
        kernel[(_ceil(rows, COMBINED),)](
            *moments_3SM, *out_3M, rows, splits, 1 / self.temperature, HAS_TEMPERATURE=has_temperature, TILE=COMBINED
        )
        return out_3M[0], out_3M[1], out_3M[2]

    def count(self, row_M: Tensor, logit_MT: Tensor, token_MT: Tensor) -> Tensor:
        """The number of logits of each row that exceed each of its targets."""
        return self._run(row_M, logit_MT, token_MT, 0, moments=False)[1].sum(0)

    def _run(
        self, row_M: Tensor, logit_MT: Tensor, token_MT: Tensor, top: int, moments: bool
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The results of each split of the vocabulary for each row: moments, counts above targets, top k logits and ids."""
        from chainrule.ops import head_triton

        kernel: Any = head_triton.sweep_kernel
        rows, targets, device = *logit_MT.shape, row_M.device
        moments_3SM = torch.empty(3, self._splits, rows if moments else 0, dtype=torch.float32, device=device)
        count_SMT = torch.empty(self._splits, rows, targets, dtype=torch.int32, device=device)
        best_SMk = torch.empty(self._splits, rows, top, dtype=torch.float32, device=device)
        id_SMk = torch.empty(self._splits, rows, top, dtype=torch.int32, device=device)
        grid = (_ceil(rows, self.tile.size), self._splits)  # programs that share weights are adjacent
        kernel[grid](
            *self._operands, row_M.contiguous(), logit_MT.contiguous(), token_MT.contiguous(), *moments_3SM, count_SMT,
            best_SMk, id_SMk, rows, len(self.weight_VH), *self._numbers, 1 / self.temperature,
            HAS_TEMPERATURE=self.temperature != 1, MOMENTS=moments, T=targets, TOP=top,
            WIDTH=1 << max(top - 1, 0).bit_length(), SPLIT=SPLIT, **self._options,
        )  # fmt: skip
        return moments_3SM, count_SMT, best_SMk, id_SMk

    @property
    def _splits(self) -> int:
        return _ceil(len(self.weight_VH), SPLIT)

    @property
    def _operands(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.hidden_RH, self.weight_VH, self.weight_VH if self.bias_V is None else self.bias_V

    @property
    def _numbers(self) -> tuple[int, int, int, float, float]:
        """Hidden width, strides, scale, softcap."""
        width, softcap = self.weight_VH.shape[1], 1.0 if self.softcap is None else self.softcap
        return width, self.hidden_RH.stride(0), self.weight_VH.stride(0), float(self.scale), float(softcap)

    @property
    def _options(self) -> dict[str, Any]:
        """The same for all kernels. Multiply and add are not fused, since bits depend on it."""
        return {
            "HAS_BIAS": self.bias_V is not None,
            "HAS_SOFTCAP": self.softcap is not None,
            "WIDEN": not self.weight_VH.is_cuda,
            "TILE": self.tile.size,
            "DEPTH": self.tile.depth,
            "num_warps": self.tile.num_warps,
            "num_stages": self.tile.num_stages,
            "enable_fp_fusion": False,
        }


def _ceil(a: int, b: int) -> int:
    return -(-a // b)
