"""Elementwise functions whose bits do not depend on an element's position in the tensor.

A PyTorch kernel gives each thread a share of the tensor and computes 64 numbers at a time. The remainder of a share goes
through other code, whose last bit may differ (for σ and functions built on it). So tensors are padded until no share has a
remainder.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor

LANES = 64  # numbers computed at a time: two registers of 32 in bfloat16
GRAIN = 32_768  # numbers per thread, below which PyTorch starts no further thread


def evenly(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """`function` applied to every number of a tensor, with equal results for equal numbers."""

    @wraps(function)
    def even(input: Tensor, *args: Any, **others: Any) -> Tensor:
        size = input.numel()
        padding = _padded(size) - size
        if input.device.type != "cpu" or others.get("inplace") or (not padding and input.is_contiguous()):
            return function(input, *args, **others)
        padded = torch.nn.functional.pad(input.reshape(-1), (0, padding))
        return function(padded, *args, **others)[:size].view(input.shape)

    return even


def _padded(size: int) -> int:
    """The least number of elements, at least `size`, that gives every thread a multiple of LANES."""
    while size % (share := LANES * min(torch.get_num_threads(), -(-size // GRAIN) or 1)):
        size += -size % share
    return size
