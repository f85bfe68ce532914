"""Whether Triton kernels can run, and the function mode of networks on a GPU, entered only where it changes something."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Mapping
from importlib.util import find_spec
from typing import Any, TypeVar

import torch
from torch import Tensor

from chainrule.ops.bounds import looks_up
from chainrule.ops.convolution import CONVOLUTIONS
from chainrule.ops.sealed import Plain, is_default, within

T = TypeVar("T")


def takes_triton(x: Tensor) -> bool:
    """Whether Triton runs on this tensor: on a GPU, or on the CPU in Triton's interpreter if that is enabled."""
    return (x.is_cuda or os.environ.get("TRITON_INTERPRET") == "1") and find_spec("triton") is not None


class PlainWhereNeeded:
    """`Plain` for the trunk of one network on a GPU.

    The mode intercepts every function that a network calls, at some microseconds each: more than the GPU takes for most of
    them when a text grows by a token. In many networks it changes none.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._needed: dict[Hashable, bool] = {}  # by the kind of a call

    def run(self, kind: Hashable, run: Callable[[], T]) -> T:
        """The result of `run` as within `Plain`. The first call of a kind finds out whether the mode changes a function."""
        if kind not in self._needed:
            watched = _Watched(device=self.device)
            result = within(watched, run)
            self._needed[kind] = watched.found
            return result
        return within(Plain(device=self.device), run) if self._needed[kind] else run()


class _Watched(Plain):
    """`Plain` that records in `found` whether it changes or checks anything."""

    found = False

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        options = kwargs or {}
        changed = func in CONVOLUTIONS or is_default(func, args, options) or looks_up(func, args, options)
        self.found = self.found or changed
        return super().__torch_function__(func, types, args, kwargs)
