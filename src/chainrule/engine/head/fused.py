"""`readout.read` for a linear head on a GPU: log-sum-exp, entropy, ranks and the best tokens, and no logits in memory.

One pass over the weights. The vocabulary is cut into splits by its size alone, tiles have one shape whatever is asked, and
nothing is added in an order that could change (no atomics, no tuning at run time): a row's numbers depend on that row alone.

Shapes: R rows, M distinct rows that factors are read from, F factors, G groups of up to T factors that share a row, S splits
of the vocabulary, V vocabulary, H hidden width, k alternatives.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from chainrule.engine.head.readout import Factors
from chainrule.models.head import LinearHead
from chainrule.ops.gpu import takes_triton
from chainrule.ops.sealed import sealed
from chainrule.ops.transfer import on


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
COMBINED = 32  # rows whose splits are added up at a time
PARTIALS = 1 << 23  # numbers kept between the kernel and the sum over splits (32 MiB)


def supports(head: Any, top: int = 0) -> bool:
    """Whether `read_fused` can read this head; where it cannot, `readout.read` can."""
    if not isinstance(head, LinearHead) or not 0 <= top <= min(MOST_TOP, head.size):
        return False
    weight = head.linear.weight
    readable = weight.dtype in (torch.bfloat16, torch.float16, torch.float32) and weight.stride(1) == 1
    return readable and takes_triton(weight)


@sealed
def read_fused(head: Any, hidden_RH: Tensor, row_F: Tensor, token_F: Tensor, top: int = 0) -> Factors:
    """The factors Pr(token_F | the context at row_F), as `readout.read` gives them. `row_F` ascends; see `supports`.

    `row_F` is best on the CPU: a GPU would have to be waited for.
    """
    with torch.cuda.device_of(head.linear.weight):  # Triton launches on the current device
        return _read(head, hidden_RH, row_F, token_F, top) if len(row_F) else _no_factors(row_F, top)


def _read(head: LinearHead, hidden_RH: Tensor, row_F: Tensor, token_F: Tensor, top: int) -> Factors:
    launch, here = _Launch.of(head, hidden_RH), partial(on, device=hidden_RH.device)
    row_M, index_F, count_M = torch.unique_consecutive(row_F, return_inverse=True, return_counts=True)
    first_M, further = count_M.cumsum(0) - count_M, None
    if len(row_M) < len(row_F):
        further = _Further.of(row_F, first_M[index_F])
    row_M, index_F, first_M, row_F = here(row_M), here(index_F), here(first_M), here(row_F)
    logit_F = launch.targets(row_F, token_F)
    parts = [
        launch.sweep(row_M[part], logit_F[first_M[part], None], token_F[first_M[part], None], top)
        for part in launch.parts(len(row_M), 1, top)
    ]
    logsumexp_M, entropy_M, greater_M1, top_id_Mk, top_logit_Mk = (torch.cat(p) for p in zip(*parts, strict=True))
    greater_F = torch.empty_like(token_F)
    greater_F[first_M] = greater_M1[:, 0]
    if further is not None:
        further.rank(launch, token_F, logit_F, greater_F)
    top_logprob_Mk = top_logit_Mk.double() - logsumexp_M[:, None]
    logprob_F = logit_F.double() - logsumexp_M[index_F]
    return Factors(logprob_F, greater_F + 1, entropy_M[index_F], top_id_Mk[index_F], top_logprob_Mk[index_F])


@dataclass(frozen=True)
class _Further:
    """The N factors that are not their row's first, in G groups of up to T of one row."""

    factor_N: Tensor
    group_N: Tensor
    slot_N: Tensor
    row_G: Tensor

    @classmethod
    def of(cls, row_F: Tensor, first_F: Tensor) -> _Further:
        """first_F: the first factor of the same row."""
        behind_F = torch.arange(len(row_F), dtype=torch.int64, device=row_F.device) - first_F
        factor_N = torch.nonzero(behind_F > 0).flatten()
        slot_N = (behind_F[factor_N] - 1) % TARGETS
        return cls(factor_N, (slot_N == 0).cumsum(0) - 1, slot_N, row_F[factor_N[slot_N == 0]])

    def rank(self, launch: _Launch, token_F: Tensor, logit_F: Tensor, greater_F: Tensor) -> None:
        """Fill in how many logits exceed theirs."""
        factor_N, group_N, slot_N, row_G = (on(x, token_F.device) for x in vars(self).values())
        logit_GT = logit_F.new_full((len(row_G), TARGETS), torch.inf)
        token_GT = token_F.new_full((len(row_G), TARGETS), -1)
        logit_GT[group_N, slot_N], token_GT[group_N, slot_N] = logit_F[factor_N], token_F[factor_N]
        greater_GT = torch.cat([launch.count(row_G[p], logit_GT[p], token_GT[p]) for p in launch.parts(len(row_G), TARGETS, 0)])
        greater_F[factor_N] = greater_GT[group_N, slot_N]


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
        from chainrule.ops import head_triton  # imports Triton

        kernel: Any = head_triton.target_kernel
        logit_F = torch.empty(len(row_F), dtype=torch.float32, device=row_F.device)
        grid = (_ceil(len(row_F), self.tile.size),)
        kernel[grid](*self._operands, row_F, token_F, logit_F, len(row_F), *self._numbers, **self._options)
        return logit_F

    def sweep(
        self, row_M: Tensor, logit_M1: Tensor, token_M1: Tensor, top: int
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Of each row: log-sum-exp and entropy (float64), logits above the target, the best tokens and their logits."""
        kept_3SM, count_SMT, best_SMk, id_SMk = self._run(row_M, logit_M1, token_M1, top, moments=True)
        logsumexp_M, entropy_M = self._combined(kept_3SM)
        best_Mk, place_Mk = best_SMk.transpose(0, 1).flatten(1).topk(top, -1)
        id_Mk = id_SMk.transpose(0, 1).flatten(1).gather(1, place_Mk).long()
        best_Mk = best_Mk.masked_fill(best_Mk <= torch.finfo(torch.float32).min, -torch.inf)
        return logsumexp_M, entropy_M, count_SMT.sum(0), id_Mk, best_Mk

    def _combined(self, kept_3SM: Tensor) -> tuple[Tensor, Tensor]:
        """By a kernel: the order in which PyTorch adds up splits depends on how many rows there are."""
        from chainrule.ops import head_triton

        kernel: Any = head_triton.combine_kernel
        _, splits, rows = kept_3SM.shape
        found_2M = torch.empty(2, rows, dtype=torch.float64, device=kept_3SM.device)
        kernel[(_ceil(rows, COMBINED),)](*kept_3SM, *found_2M, rows, splits, TILE=COMBINED)
        return found_2M[0], found_2M[1]

    def count(self, row_M: Tensor, logit_MT: Tensor, token_MT: Tensor) -> Tensor:
        """How many logits of a row exceed each of its targets."""
        return self._run(row_M, logit_MT, token_MT, 0, moments=False)[1].sum(0)

    def _run(
        self, row_M: Tensor, logit_MT: Tensor, token_MT: Tensor, top: int, moments: bool
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What every split of the vocabulary says of every row."""
        from chainrule.ops import head_triton

        kernel: Any = head_triton.sweep_kernel
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
