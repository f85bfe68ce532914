"""The launches of the Triton kernels of the fused head: a head and hidden states in, tensors of results out.

Shapes: M distinct rows that factors are read from, F factors, S splits of the vocabulary, V vocabulary, H hidden width, T
targets of a row, k alternatives, J sets of tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from chainrule.engine.head.most_probable import keys
from chainrule.models.head import LinearHead


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
COMBINED = 32  # rows whose splits are combined at a time
PARTIALS = 1 << 23  # numbers kept between the sweep and the sum over splits (32 MiB)


@dataclass(frozen=True)
class Launch:
    """A head and hidden states in the form that the kernels take."""

    hidden_RH: Tensor
    weight_VH: Tensor
    bias_V: Tensor | None
    scale: float
    softcap: float | None
    temperature: float
    tile: Tile

    @classmethod
    def of(cls, head: LinearHead, hidden_RH: Tensor, temperature: float) -> Launch:
        weight_VH = head.linear.weight
        hidden_RH = hidden_RH.to(weight_VH.dtype).contiguous()
        tile = TILES[weight_VH.element_size()]
        return cls(hidden_RH, weight_VH, head.linear.bias, head.scale, head.softcap, temperature, tile)

    def parts(self, rows: int, targets: int, top: int) -> list[slice]:
        """The rows in slices whose partial results are at most `PARTIALS` numbers."""
        count = max(self.tile.size, PARTIALS // (self._splits * (4 + targets + 2 * top)))
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
        self, row_M: Tensor, logit_M1: Tensor, token_M1: Tensor, top: int, member_V: Tensor, sets: int
    ) -> tuple[Tensor, ...]:
        """Log-sum-exp, entropy, variance and largest logit of each row (float64), the number of logits above its target, its
        top k tokens and logits, and log Pr of each set."""
        moments_4SM, count_SMT, best_SMk, id_SMk, sums_2SMJ = self._run(row_M, logit_M1, token_M1, top, member_V, sets)
        logsumexp_M, entropy_M, variance_M, largest_M = self._combine(moments_4SM)
        best_MC, id_MC = (x.transpose(0, 1).flatten(1) for x in (best_SMk, id_SMk))  # C candidates: k of each split
        index_Mk = keys(best_MC, id_MC).topk(top, -1).indices
        best_Mk, id_Mk = best_MC.gather(1, index_Mk), id_MC.gather(1, index_Mk).long()
        best_Mk = best_Mk.masked_fill(best_Mk <= torch.finfo(torch.float32).min, -torch.inf)
        set_MJ = self._set_logprobs(sums_2SMJ, logsumexp_M, largest_M)
        return logsumexp_M, entropy_M, variance_M, largest_M, count_SMT.sum(0), id_Mk, best_Mk, set_MJ

    def _set_logprobs(self, sums_2SMJ: Tensor, logsumexp_M: Tensor, largest_M: Tensor) -> Tensor:
        """log Pr of each set of tokens, M × J in float64, from the maxima and sums of all splits."""
        rows, sets = sums_2SMJ.shape[2:]
        if not sets:
            return logsumexp_M.new_empty(rows, 0)
        max_SN, sum_SN = sums_2SMJ.flatten(2)
        zero_SN = torch.zeros_like(sum_SN)
        sum_MJ, _, _, top_MJ = (x.view(rows, sets) for x in self._combine(torch.stack([max_SN, sum_SN, zero_SN, zero_SN])))
        if self.temperature != 1:
            sum_MJ = sum_MJ + (top_MJ - largest_M[:, None]) / self.temperature
        return sum_MJ - logsumexp_M[:, None]

    def _combine(self, moments_4SM: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Log-sum-exp, entropy, variance and largest logit over all splits, by a kernel.

        PyTorch's order of summation depends on the number of rows.
        """
        from chainrule.ops import head_triton

        kernel: Any = head_triton.combine_kernel
        _, splits, rows = moments_4SM.shape
        out_4M = torch.zeros(4, rows, dtype=torch.float64, device=moments_4SM.device)
        has_temperature = self.temperature != 1
        kernel[(_ceil(rows, COMBINED),)](
            *moments_4SM, *out_4M, rows, splits, 1 / self.temperature, HAS_TEMPERATURE=has_temperature, TILE=COMBINED
        )
        return out_4M[0], out_4M[1], out_4M[2], out_4M[3]

    def count(self, row_M: Tensor, logit_MT: Tensor, token_MT: Tensor) -> Tensor:
        """The number of logits of each row that exceed each of its targets."""
        return self._run(row_M, logit_MT, token_MT, 0, None, 0)[1].sum(0)

    def _run(
        self, row_M: Tensor, logit_MT: Tensor, token_MT: Tensor, top: int, member_V: Tensor | None, sets: int
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """The results of each split of the vocabulary for each row: moments, counts above targets, top k logits and ids,
        maxima and sums over each set of tokens. member_V: the sets; None: count only."""
        from chainrule.ops import head_triton

        kernel: Any = head_triton.sweep_kernel
        rows, targets, device, moments = *logit_MT.shape, row_M.device, member_V is not None
        moments_4SM = torch.empty(4, self._splits, rows if moments else 0, dtype=torch.float32, device=device)
        count_SMT = torch.empty(self._splits, rows, targets, dtype=torch.int32, device=device)
        best_SMk = torch.empty(self._splits, rows, top, dtype=torch.float32, device=device)
        id_SMk = torch.empty(self._splits, rows, top, dtype=torch.int32, device=device)
        sums_2SMJ = torch.empty(2, self._splits, rows, sets, dtype=torch.float32, device=device)
        grid = (_ceil(rows, self.tile.size), self._splits)  # programs that share weights are adjacent
        kernel[grid](
            *self._operands, row_M.contiguous(), logit_MT.contiguous(), token_MT.contiguous(), *moments_4SM, count_SMT,
            best_SMk, id_SMk, self.weight_VH if member_V is None else member_V, *sums_2SMJ, rows, len(self.weight_VH),
            *self._numbers, 1 / self.temperature, HAS_TEMPERATURE=self.temperature != 1, MOMENTS=moments, T=targets,
            TOP=top, WIDTH=_power(top), SETS=sets, SET_WIDTH=_power(sets), SPLIT=SPLIT, **self._options,
        )  # fmt: skip
        return moments_4SM, count_SMT, best_SMk, id_SMk, sums_2SMJ

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


def _power(count: int) -> int:
    """The smallest power of 2 that is at least `count`, as the widths of Triton's blocks must be."""
    return 1 << max(count - 1, 0).bit_length()


def _ceil(a: int, b: int) -> int:
    return -(-a // b)
