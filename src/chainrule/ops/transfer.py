"""Transfers to the device of a model that do not wait for it."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor


def on(numbers: Tensor, device: torch.device) -> Tensor:
    """A tensor on the device. The copy for a GPU is made before this returns, and the GPU keeps working meanwhile."""
    return numbers.to(device, non_blocking=True)


def sent(array: NDArray[Any], device: torch.device) -> Tensor:
    """An array as a tensor on the device. On the CPU the two share memory."""
    return on(torch.from_numpy(array), device)
