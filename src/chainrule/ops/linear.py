"""Linear layers of a network run by another product for a while.

`SameBits` sees every function that a network calls, which takes microseconds each: next to nothing for a chunk, a sixth of the
time for one step of growing. Where linear layers are all that it would change, it is enough to replace those.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from chainrule.ops import native
from chainrule.ops.matmul import CHANGED, SameBits, rowwise
from chainrule.ops.modules import Forward
from chainrule.ops.native import build
from chainrule.ops.sealed import handed_down, is_default, within

T = TypeVar("T")
Product = Callable[[Tensor, Tensor, Tensor | None], Tensor]

FEW = 8  # rows up to which reading the weight takes the time, and the kernel for few rows is twice as fast


def same_bits(x: Tensor, weight_MK: Tensor, bias_M: Tensor | None) -> Tensor:
    """The product whose rows have the same bits in any company."""
    return rowwise(x, weight_MK.T, bias_M)


def few_rows(x: Tensor, weight_MK: Tensor, bias_M: Tensor | None) -> Tensor:
    """The fastest product where there are few rows."""
    out = native.linear(x, weight_MK)
    if out is None:
        return nn.functional.linear(x, weight_MK, bias_M)
    return out if bias_M is None else out.add_(bias_M)


class Linears:
    """The linear layers of a trunk that nobody else runs: from now on they multiply as a call asks for."""

    def __init__(self, trunk: nn.Module) -> None:
        for module in trunk.modules():
            if type(module) is nn.Linear and "forward" not in module.__dict__:
                module.forward = _by_product(module)
        self._all: dict[bool, bool] = {}  # with kernels, and without: whether they are all that `SameBits` would change

    def by(self, product: Product, run: Callable[[], T]) -> T:
        """`run` with their products computed by `product`."""
        return handed_down(_PRODUCT, product, run)

    def with_same_bits(self, run: Callable[[], T]) -> T:
        """As within `SameBits`; the first time that is looked at, and where more would have to change it stays."""
        kernels = bool(build.status())
        if kernels not in self._all:
            others = _Others()
            found = self.by(_noted, partial(within, others, run))
            self._all[kernels] = not others.found
            return found
        return self.by(same_bits, run) if self._all[kernels] else within(SameBits(), run)


class _Others(SameBits):
    """`SameBits`, noting what it changes besides the layers that are replaced."""

    found = False

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        changed = (func in CHANGED or is_default(func, args, kwargs)) and not _INSIDE.get()
        self.found = self.found or changed
        return super().__torch_function__(func, types, args, kwargs)


_PRODUCT: ContextVar[Product | None] = ContextVar("product of linear layers", default=None)
_INSIDE: ContextVar[bool] = ContextVar("within a layer that is replaced", default=False)


def _noted(x: Tensor, weight_MK: Tensor, bias_M: Tensor | None) -> Tensor:
    """`same_bits`, known to `_Others` as what a layer does that is replaced."""
    return handed_down(_INSIDE, True, partial(same_bits, x, weight_MK, bias_M))


def _by_product(layer: nn.Linear) -> Forward:
    """A linear layer that multiplies by the product that a call asks for; by its own where none does."""
    own = layer.forward

    def forward(x: Tensor) -> Tensor:
        product = _PRODUCT.get()
        if product is None or (torch.is_grad_enabled() and layer.weight.requires_grad):
            return own(x)
        return product(x, layer.weight, layer.bias)

    return forward
