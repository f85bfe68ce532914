"""Functions of single numbers, with the same bits wherever a number stands.

A kernel gives each thread its share of a tensor and computes 64 numbers at a time; what is left over at the end of a share
goes through other code, whose last bit may differ (σ and what is made of it). So tensors are filled up to whole shares.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor

LANES = 64  # numbers computed at a time: two registers of 32 in bfloat16
GRAIN = 32_768  # numbers below which PyTorch starts no further thread


def evenly(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """`function` of every number in a tensor, the same for equal numbers."""

    @wraps(function)
    def even(input: Tensor, *args: Any, **others: Any) -> Tensor:
        size = input.numel()
        missing = _filled(size) - size
        if input.device.type != "cpu" or others.get("inplace") or (not missing and input.is_contiguous()):
            return function(input, *args, **others)
        filled = torch.nn.functional.pad(input.reshape(-1), (0, missing))
        return function(filled, *args, **others)[:size].view(input.shape)

    return even


def _filled(size: int) -> int:
    """The least number of elements, not less than `size`, that every thread gets whole LANES of."""
    while size % (share := LANES * min(torch.get_num_threads(), -(-size // GRAIN) or 1)):
        size += -size % share
    return size
