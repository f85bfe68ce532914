"""Checks of arguments, which the C code trusts, and their conversion for C."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import c_int, c_void_p
from typing import Any

import torch
from torch import Tensor, nn

from chainrule.ops.library import build

SUFFIX = {torch.float32: "f", torch.bfloat16: "b"}  # of the names of kernels
SMALL = 16_384  # numbers below which a second thread costs more than it saves


def supports(*tensors: Tensor) -> bool:
    """Whether the kernels take these: plain, contiguous tensors on the CPU, of one type that has kernels, without gradients."""
    dtype = tensors[0].dtype
    fits = bool(build.status()) and dtype in SUFFIX
    return fits and all(is_plain(x) and x.dtype == dtype and x.is_contiguous() for x in tensors)


def is_plain(x: Tensor) -> bool:
    """Whether memory holds the tensor's values in its dtype: not so for some subclasses, sparse tensors and negated views."""
    return (
        (type(x) is Tensor or type(x) is nn.Parameter)
        and x.layout is torch.strided
        and x.is_cpu
        and not x.is_neg()
        and not (x.requires_grad and torch.is_grad_enabled())
    )


def is_plain_rows(x: Tensor) -> bool:
    """Whether this is a plain float32 matrix whose rows are contiguous; there may be gaps between rows."""
    return is_plain(x) and x.dtype == torch.float32 and x.dim() == 2 and x.stride(1) == 1


def demand(dtype: torch.dtype, **tensors: Tensor) -> None:
    """Raises ValueError unless all are plain, contiguous tensors of this type, which has kernels."""
    if dtype not in SUFFIX:
        raise ValueError(f"there are kernels of float32 and bfloat16, not of {dtype}")
    for name, x in tensors.items():
        if x.dtype != dtype or not is_plain(x) or not x.is_contiguous():
            raise ValueError(f"{name} must be a plain, contiguous {dtype} tensor on the CPU, {_WITHOUT}, not {described(x)}")


def demand_rows(**tensors: Tensor) -> None:
    """Raises ValueError unless all are plain float32 matrices whose rows are contiguous; see `is_plain_rows`."""
    for name, x in tensors.items():
        if not is_plain_rows(x):
            raise ValueError(
                f"{name} must be a plain float32 matrix on the CPU, {_WITHOUT}, with contiguous rows, not {described(x)}"
            )


_WITHOUT = "without gradients"


def described(x: Tensor) -> str:
    """The properties of a tensor, for a message."""
    return f"{type(x).__name__} {tuple(x.shape)} of {x.dtype}, {x.layout} on {x.device}"


def empty(shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """An empty tensor on the CPU. Type and device are named, since the caller may have changed torch's defaults."""
    return torch.empty(shape, dtype=dtype, device="cpu")


def function(name: str) -> Any:
    """A function of the compiled library. Raises RuntimeError if there is none."""
    library: ctypes.CDLL | None = build.status().library
    if library is None:
        raise RuntimeError(f"there are no compiled kernels, which supports() would have told: {build.status().reason}")
    return getattr(library, name)


def pointer(tensor: Tensor | None) -> c_void_p:
    """The address of a tensor's data; NULL for None."""
    return c_void_p(None if tensor is None else tensor.data_ptr())


def threads(numbers: int) -> c_int:
    """The number of threads for a call that computes so many numbers."""
    return c_int(torch.get_num_threads() if numbers > SMALL else 1)
