"""Factors that share a row with another: a sweep of the fused head ranks one factor of each row, and these follow in groups.

Shapes: F factors, N of them that are not the first of their row, G groups of up to T factors of one row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class OtherFactors:
    """The N factors that are not the first of their row, in G groups of up to T factors of one row."""

    targets: int  # T
    factor_N: Tensor
    group_N: Tensor
    slot_N: Tensor
    row_G: Tensor

    @classmethod
    def of(cls, row_F: Tensor, first_F: Tensor, targets: int) -> OtherFactors:
        """first_F: the index of the first factor of the same row."""
        offset_F = torch.arange(len(row_F), dtype=torch.int64, device=row_F.device) - first_F
        factor_N = torch.nonzero(offset_F > 0).flatten()
        slot_N = (offset_F[factor_N] - 1) % targets
        return cls(targets, factor_N, (slot_N == 0).cumsum(0) - 1, slot_N, row_F[factor_N[slot_N == 0]])

    @property
    def tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Its tensors, on the CPU or on the device of a head, as `rank` needs them."""
        return self.factor_N, self.group_N, self.slot_N, self.row_G

    def rank(self, launch: Any, token_F: Tensor, logit_F: Tensor, greater_F: Tensor) -> None:
        """Write the number of logits that exceed each of these factors to `greater_F`."""
        factor_N, group_N, slot_N, row_G = self.tensors
        logit_GT = logit_F.new_full((len(row_G), self.targets), torch.inf)
        token_GT = token_F.new_full((len(row_G), self.targets), -1)
        logit_GT[group_N, slot_N], token_GT[group_N, slot_N] = logit_F[factor_N], token_F[factor_N]
        greater_GT = torch.cat(
            [launch.count(row_G[p], logit_GT[p], token_GT[p]) for p in launch.parts(len(row_G), self.targets, 0)]
        )
        greater_F[factor_N] = greater_GT[group_N, slot_N]
