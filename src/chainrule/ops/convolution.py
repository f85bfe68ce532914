"""Convolutions of float32 numbers on a GPU in float64, rounded once: cuDNN computes them in TF32, unless a process says no.

That leaves 10 bits of a product. Networks of language have few convolutions, most of them of one channel at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor


def widened(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """`function` of float32 numbers computed in float64; of others as it is."""

    @wraps(function)
    def call(input: Tensor, *others: Any, **options: Any) -> Tensor:
        if input.dtype != torch.float32:
            return function(input, *others, **options)
        more = {name: _double(value) for name, value in options.items()}
        return function(input.double(), *map(_double, others), **more).float()

    return call


def _double(value: Any) -> Any:
    return value.double() if isinstance(value, Tensor) and value.dtype == torch.float32 else value


CONVOLUTIONS: dict[Any, Callable[..., Any]] = {
    function: widened(function)
    for function in (
        *(torch.conv1d, torch.conv2d, torch.conv3d),
        *(torch.conv_transpose1d, torch.conv_transpose2d, torch.conv_transpose3d),
    )
}
