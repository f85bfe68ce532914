"""`readout.read` for a linear head on a GPU: log-sum-exp, entropy, ranks and the best tokens, and no logits in memory.

One pass over the weights. The vocabulary is cut into splits by its size alone, tiles have one shape whatever is asked, and
nothing is added in an order that could change (no atomics, no tuning at run time): a row's numbers depend on that row alone.

Shapes: R rows, M distinct rows that factors are read from, F factors, G groups of up to T factors that share a row, S splits
of the vocabulary, V vocabulary, H hidden width, k alternatives.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from chainrule.engine.readout import Factors
from chainrule.models.head import LinearHead
from chainrule.models.sealed import sealed


@dataclass(frozen=True)
class Tile:
    """The shape of a tile of logits, size × size, and how many of the hidden width are multiplied at a time."""

    size: int
    depth: int
    num_warps: int
    num_stages: int


# By bytes of a weight: 96 KiB of shared memory, or as many registers as a thread has. Float32 does without tensor cores.
TILES = {2: Tile(128, 64, num_warps=8, num_stages=3), 4: Tile(64, 16, num_warps=4, num_stages=3)}
SPLIT = 1024  # columns that one program goes through: enough programs for a whole GPU also where rows are few
TARGETS = 16  # further factors of a row that are ranked by one look at its logits
MOST_TOP = 16  # alternatives
PARTIALS = 1 << 23  # numbers kept between the kernel and the sum over splits (32 MiB)


def supports(head: Any, top: int = 0) -> bool:
    """Whether `read_fused` can read this head; where it cannot, `readout.read` can."""
    if not isinstance(head, LinearHead) or not 0 <= top <= min(MOST_TOP, head.size) or find_spec("triton") is None:
        return False
    weight = head.linear.weight
    runs = weight.is_cuda or os.environ.get("TRITON_INTERPRET") == "1"  # Triton's interpreter reads tensors of the CPU
    return runs and weight.dtype in (torch.bfloat16, torch.float16, torch.float32) and weight.stride(1) == 1


@sealed
def read_fused(head: Any, hidden_RH: Tensor, row_F: Tensor, token_F: Tensor, top: int = 0) -> Factors:
    """The factors Pr(token_F | the context at row_F), as `readout.read` gives them. `row_F` ascends; see `supports`."""
    with torch.cuda.device_of(head.linear.weight):  # Triton launches on the current device
        return _read(head, hidden_RH, row_F, token_F, top) if len(row_F) else _no_factors(row_F, top)


def _read(head: LinearHead, hidden_RH: Tensor, row_F: Tensor, token_F: Tensor, top: int) -> Factors:
    launch = _Launch.of(head, hidden_RH)
    row_M, index_F, count_M = torch.unique_consecutive(row_F, return_inverse=True, return_counts=True)
    first_M = count_M.cumsum(0) - count_M
    logit_F = launch.targets(row_F, token_F)
    parts = [
        launch.sweep(row_M[part], logit_F[first_M[part], None], token_F[first_M[part], None], top)
        for part in launch.parts(len(row_M), 1, top)
    ]
    logsumexp_M, entropy_M, greater_M1, top_id_Mk, top_logit_Mk = (torch.cat(p) for p in zip(*parts, strict=True))
    greater_F = torch.empty_like(token_F)
    greater_F[first_M] = greater_M1[:, 0]
    if len(row_M) < len(row_F):
        _rank_further(launch, row_F, token_F, logit_F, first_M[index_F], greater_F)
    top_logprob_Mk = top_logit_Mk.double() - logsumexp_M[:, None]
    logprob_F = logit_F.double() - logsumexp_M[index_F]
    return Factors(logprob_F, greater_F + 1, entropy_M[index_F], top_id_Mk[index_F], top_logprob_Mk[index_F])


def _rank_further(launch: _Launch, row_F: Tensor, token_F: Tensor, logit_F: Tensor, first_F: Tensor, greater_F: Tensor) -> None:
    """Fill in how many logits exceed those of the factors that are not their row's first, T of them at a time."""
    behind_F = torch.arange(len(row_F), dtype=torch.int64, device=row_F.device) - first_F  # 0 for the first factor of a row
    further_N = torch.nonzero(behind_F > 0).flatten()
    slot_N = (behind_F[further_N] - 1) % TARGETS
    group_N = (slot_N == 0).cumsum(0) - 1
    head_G = further_N[slot_N == 0]
    logit_GT = logit_F.new_full((len(head_G), TARGETS), torch.inf)
    token_GT = token_F.new_full((len(head_G), TARGETS), -1)
    logit_GT[group_N, slot_N], token_GT[group_N, slot_N] = logit_F[further_N], token_F[further_N]
    greater_GT = torch.cat(
        [launch.count(row_F[head_G[p]], logit_GT[p], token_GT[p]) for p in launch.parts(len(head_G), TARGETS, 0)]
    )
    greater_F[further_N] = greater_GT[group_N, slot_N]


@dataclass(frozen=True)
class _Launch:
    """A head and hidden states, as the kernels take them."""

    hidden_RH: Tensor
    weight_VH: Tensor
    bias_V: Tensor | None
    scale: float
    softcap: float | None
    tile: Tile

    @classmethod
    def of(cls, head: LinearHead, hidden_RH: Tensor) -> _Launch:
        weight_VH = head.linear.weight
        hidden_RH = hidden_RH.to(weight_VH.dtype).contiguous()
        return cls(hidden_RH, weight_VH, head.linear.bias, head.scale, head.softcap, TILES[weight_VH.element_size()])

    def parts(self, rows: int, targets: int, top: int) -> list[slice]:
        """The rows in pieces whose partial results are few enough to keep."""
        some = max(self.tile.size, PARTIALS // (self._splits * (3 + targets + 2 * top)))
        return [slice(first, min(first + some, rows)) for first in range(0, rows, some)]

    def targets(self, row_F: Tensor, token_F: Tensor) -> Tensor:
        """The logit of each factor, with the bits that it has in the sweep."""
        from chainrule.engine import head_kernel  # imports Triton

        kernel: Any = head_kernel.target_kernel
        logit_F = torch.empty(len(row_F), dtype=torch.float32, device=row_F.device)
        grid = (_ceil(len(row_F), self.tile.size),)
        kernel[grid](*self._operands, row_F, token_F, logit_F, len(row_F), *self._numbers, **self._options)
        return logit_F

    def sweep(
        self, row_M: Tensor, logit_M1: Tensor, token_M1: Tensor, top: int
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Of each row: log-sum-exp and entropy (float64), logits above the target, the best tokens and their logits."""
        kept_3SM, count_SMT, best_SMk, id_SMk = self._run(row_M, logit_M1, token_M1, top, moments=True)
        max_SM, sum_SM, dot_SM = (x.double() for x in kept_3SM)
        logsumexp_M = torch.logsumexp(max_SM + sum_SM.log(), 0)
        mean_M = (torch.exp(max_SM - logsumexp_M) * dot_SM).sum(0)  # the expected logit
        best_Mk, place_Mk = best_SMk.transpose(0, 1).flatten(1).topk(top, -1)
        id_Mk = id_SMk.transpose(0, 1).flatten(1).gather(1, place_Mk).long()
        best_Mk = best_Mk.masked_fill(best_Mk <= torch.finfo(torch.float32).min, -torch.inf)
        return logsumexp_M, logsumexp_M - mean_M, count_SMT.sum(0), id_Mk, best_Mk

    def count(self, row_M: Tensor, logit_MT: Tensor, token_MT: Tensor) -> Tensor:
        """How many logits of a row exceed each of its targets."""
        return self._run(row_M, logit_MT, token_MT, 0, moments=False)[1].sum(0)

    def _run(
        self, row_M: Tensor, logit_MT: Tensor, token_MT: Tensor, top: int, moments: bool
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What every split of the vocabulary says of every row."""
        from chainrule.engine import head_kernel

        kernel: Any = head_kernel.sweep_kernel
        rows, targets, device = *logit_MT.shape, row_M.device
        kept_3SM = torch.empty(3, self._splits, rows if moments else 0, dtype=torch.float32, device=device)
        count_SMT = torch.empty(self._splits, rows, targets, dtype=torch.int32, device=device)
        best_SMk = torch.empty(self._splits, rows, top, dtype=torch.float32, device=device)
        id_SMk = torch.empty(self._splits, rows, top, dtype=torch.int32, device=device)
        grid = (_ceil(rows, self.tile.size), self._splits)  # programs that share weights run side by side
        kernel[grid](
            *self._operands, row_M.contiguous(), logit_MT.contiguous(), token_MT.contiguous(), *kept_3SM, count_SMT,
            best_SMk, id_SMk, rows, len(self.weight_VH), *self._numbers, MOMENTS=moments, T=targets, TOP=top,
            WIDTH=1 << max(top - 1, 0).bit_length(), SPLIT=SPLIT, **self._options,
        )  # fmt: skip
        return kept_3SM, count_SMT, best_SMk, id_SMk

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
        """Alike for all kernels, and without fusing of what is written as two operations: bits depend on it."""
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


def _no_factors(like_F: Tensor, top: int) -> Factors:
    none_F, none_Fk = (like_F.new_empty(shape, dtype=torch.float64) for shape in ((0,), (0, top)))
    return Factors(none_F, none_F.long(), none_F, none_Fk.long(), none_Fk)


def _ceil(a: int, b: int) -> int:
    return -(-a // b)
