"""Elementwise functions whose bits do not depend on an element's position in the tensor.

A PyTorch kernel gives each thread a share of the tensor and computes 64 numbers at a time. The remainder of a share goes
through other code, whose last bit may differ (for σ and functions built on it). So tensors are padded until all shares are
whole.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
LANES = 64  # numbers computed at a time: two registers of 32 in bfloat16
GRAIN = 32_768  # numbers per thread, below which PyTorch starts no further thread
LANES = 64  # numbers computed at a time: two registers of 32 in bfloat16
GRAIN = 32_768  # numbers below which PyTorch starts no further thread

    """`function` applied to every number of a tensor, with equal results for equal numbers."""
def evenly(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """`function` of every number in a tensor, the same for equal numbers."""

    @wraps(function)
        padding = _padded(size) - size
        if input.device.type != "cpu" or others.get("inplace") or (not padding and input.is_contiguous()):
            return function(input, *args, **others)
        padded = torch.nn.functional.pad(input.reshape(-1), (0, padding))
        return function(padded, *args, **others)[:size].view(input.shape)
        return function(filled, *args, **others)[:size].view(input.shape)

    return even

def _padded(size: int) -> int:
    """The least number of elements, not less than `size`, of which every thread gets a multiple of LANES."""
    """The least number of elements, not less than `size`, that every thread gets whole LANES of."""
    while size % (share := LANES * min(torch.get_num_threads(), -(-size // GRAIN) or 1)):
        size += -size % share
    return size
