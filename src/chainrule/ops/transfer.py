"""Transfers between the CPU and the device of a model that do not wait for it.

Each copy costs a call, whatever its size, so numbers that are needed at the same time share one. On the CPU nothing is copied.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

ALIGNED = 16  # bytes: tensors of a shared copy start at multiples of this, the alignment that Triton can exploit

Arrays = dict[str, NDArray[Any]]


def on(numbers: Tensor, device: torch.device) -> Tensor:
    """A tensor on the device. The copy for a GPU is made before this returns, and the GPU keeps working meanwhile."""
    return numbers.to(device, non_blocking=True)


def sent(array: NDArray[Any], device: torch.device) -> Tensor:
    """An array as a tensor on the device. On the CPU the two share memory."""
    return on(torch.from_numpy(array), device)


def together(tensors: Sequence[Tensor], device: torch.device) -> list[Tensor]:
    """Tensors on the device, with their dtypes and shapes. All that are on the CPU are sent in one copy."""
    if on_cpu(device):
        return list(tensors)
    packed = [i for i, x in enumerate(tensors) if x.device.type == "cpu"]
    parts = [np.frombuffer(tensors[i].contiguous().numpy(), np.uint8) for i in packed]
    padded = [np.pad(part, (0, -len(part) % ALIGNED)) for part in parts]
    moved, first = list(tensors), 0
    bytes_X = sent(np.concatenate([np.zeros(0, np.uint8), *padded]), device)
    for i, part, whole in zip(packed, parts, padded, strict=True):
        moved[i] = bytes_X[first : first + len(part)].view(tensors[i].dtype).view(tensors[i].shape)
        first += len(whole)
    return moved


def returning(tensors: Mapping[str, Tensor]) -> Callable[[], Arrays]:
    """Start to copy tensors of one device to the CPU, in one copy. The function returned waits for it, and gives arrays.

    A GPU goes on with later work meanwhile, and only the copy itself is waited for.
    """
    device = next(iter(tensors.values())).device
    if on_cpu(device):
        return lambda: {name: x.numpy() for name, x in tensors.items()}
    bytes_X = torch.cat([x.contiguous().view(-1).view(torch.uint8) for x in tensors.values()])
    cuda = device.type == "cuda"
    host_X = bytes_X.to("cpu", non_blocking=cuda)  # to pinned memory, if it does not wait
    copied = torch.cuda.current_stream(device).record_event() if cuda else None
    kinds = {name: (x.dtype, x.shape, x.numel() * x.element_size()) for name, x in tensors.items()}

    def arrays() -> Arrays:
        if copied is not None:
            copied.synchronize()
        parts = host_X.split([size for _, _, size in kinds.values()])
        return {
            name: part.clone().view(dtype).view(shape).numpy()  # a copy, since a part may start at any byte
            for part, (name, (dtype, shape, _)) in zip(parts, kinds.items(), strict=True)
        }

    return arrays


def fetched(tensors: Mapping[str, Tensor]) -> Arrays:
    """Tensors of one device as arrays, in one copy, which is waited for."""
    return returning(tensors)()


def on_cpu(device: torch.device) -> bool:
    """Whether nothing needs to be copied to it."""
    return device.type == "cpu"
