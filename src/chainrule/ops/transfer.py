"""Numbers to the device of a model, without waiting for it."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor


def on(numbers: Tensor, device: torch.device) -> Tensor:
    """A tensor on the device. A GPU goes on with what it has to do: it is given a copy, which is made before this returns."""
    return numbers.to(device, non_blocking=True)


def sent(array: NDArray[Any], device: torch.device) -> Tensor:
    """An array as a tensor on the device; on the CPU they share their memory."""
    return on(torch.from_numpy(array), device)
