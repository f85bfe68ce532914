"""Float32 convolutions on a GPU, computed in float64 and rounded once. By default cuDNN computes them in TF32.

TF32 keeps 10 bits of each factor. Language models have few convolutions, most of them depthwise.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor


def widened(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """`function` computed in float64 for float32 input, and unchanged for other types."""

    @wraps(function)
    def call(input: Tensor, *others: Any, **options: Any) -> Tensor:
        if input.dtype != torch.float32:
            return function(input, *others, **options)
        wide_options = {name: _double(value) for name, value in options.items()}
        return function(input.double(), *map(_double, others), **wide_options).float()

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
