"""A pretended GPU: tensors that say they are on another device, whose numbers are on the CPU, and that count what waits.

Every operation of PyTorch runs on the numbers that a tensor holds. Copies between the devices are counted, and so are
operations whose result a program must read before it goes on, for which a real GPU has to finish all of its work.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

DEVICE = torch.device("meta")  # the one other device that every build of PyTorch accepts
_aten = torch.ops.aten
_WAITS = {
    _aten.nonzero, _aten.masked_select, _aten._unique2, _aten.unique_consecutive, _aten.unique_dim, _aten.bincount, _aten.equal,
    _aten._local_scalar_dense, _aten.is_nonzero,
}  # fmt: skip
_BY_MASK = {_aten.index, _aten.index_put, _aten.index_put_, _aten._index_put_impl_}


class There(Tensor):
    """A tensor on the pretended GPU."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> There:
        there = Tensor._make_wrapper_subclass(cls, held.shape, held.stride(), held.storage_offset(), None, held.dtype,
                                              torch.strided, DEVICE)  # fmt: skip
        there.held = held
        return there

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def item(self) -> Any:
        return self.cpu().item()

    def numpy(self, *, force: bool = False) -> Any:
        if not force:
            raise TypeError("a tensor of a GPU has no array")
        return self.cpu().numpy()

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None) -> Any:
        raise AssertionError(f"{func} outside of the pretended GPU")


class PretendedGPU(TorchDispatchMode):
    """While active: operations on its tensors are computed, and `counts` has copies to it and from it, and waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None) -> Any:
        inputs: dict[int, There] = {}
        devices: list[torch.device] = []

        def plain(x: Any) -> Any:
            if isinstance(x, There):
                inputs[id(x.held)] = x
                return x.held
            if isinstance(x, torch.device):
                devices.append(x)
                return torch.device("cpu")
            return x

        plain_args, plain_options = tree_map(plain, (args, dict(kwargs or {})))
        there = DEVICE in devices if devices else bool(inputs)
        self._count(func.overloadpacket, args, bool(inputs), there)
        result = func(*plain_args, **plain_options)
        if not there:
            return result
        return tree_map(lambda x: inputs[id(x)] if id(x) in inputs else There(x) if isinstance(x, Tensor) else x, result)

    def _count(self, function: Any, args: tuple, from_there: bool, there: bool) -> None:
        if function in (_aten._to_copy, _aten.to) and from_there != there:
            self.counts["sent" if there else "fetched"] += 1
        elif function is _aten.copy_ and isinstance(args[0], There) != isinstance(args[1], There):
            self.counts["sent" if isinstance(args[0], There) else "fetched"] += 1
        elif from_there and (function in _WAITS or (function in _BY_MASK and any(map(_is_mask, args[1])))):
            self.counts[f"waits: {function.__name__}"] += 1


def _is_mask(index: Any) -> bool:
    return isinstance(index, Tensor) and index.dtype in (torch.bool, torch.uint8)


@contextmanager
def pretended_gpu(patch: pytest.MonkeyPatch) -> Iterator[PretendedGPU]:
    """The pretended GPU, which chainrule's own calls take no notice of as a mode of other code."""
    patch.setattr(torch._C, "_len_torch_dispatch_stack", lambda: 0)
    with PretendedGPU() as gpu:
        yield gpu


@torch.inference_mode()
def move(network: nn.Module) -> None:
    """Move the weights and buffers of a network to the pretended GPU."""
    for module in network.modules():
        for tensors in (module._parameters, module._buffers):
            for name, tensor in tensors.items():
                if tensor is not None and not isinstance(tensor, There):
                    tensors[name] = There(tensor.detach())  # type: ignore[assignment]
