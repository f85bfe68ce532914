"""Linear layers of a network, whose product can be replaced for the duration of a call.

`SameBits` intercepts every function that a network calls, at some microseconds each: negligible for a chunk, but a sixth of
the time of one decoding step. Where it would change only linear layers, replacing their product has the same effect.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from chainrule.ops import native
from chainrule.ops.library import build
from chainrule.ops.matmul import CHANGED, SameBits, computed_in_float32, plain_product, rowwise
from chainrule.ops.modules import Forward
from chainrule.ops.sealed import is_default, with_variable, within

T = TypeVar("T")
Product = Callable[[Tensor, Tensor, Tensor | None], Tensor]


def same_bits(x: Tensor, weight_MK: Tensor, bias_M: Tensor | None) -> Tensor:
    """The row-invariant product."""
    return rowwise(x, weight_MK.T, bias_M)


def fastest(x: Tensor, weight_MK: Tensor, bias_M: Tensor | None) -> Tensor:
    """The fastest product; not row-invariant."""
    if (out := native.linear(x, weight_MK, bias_M)) is not None:
        return out
    if computed_in_float32(x) or native.supports_matmul(x, weight_MK.T, bias_M):
        return plain_product(x.reshape(-1, x.shape[-1]), weight_MK.T, bias_M).view(*x.shape[:-1], len(weight_MK))
    return nn.functional.linear(x, weight_MK, bias_M)


class Linears:
    """The linear layers of a trunk that belongs to the caller alone. Their product is the one of the current call."""

    def __init__(self, trunk: nn.Module) -> None:
        for module in trunk.modules():
            if type(module) is nn.Linear and "forward" not in module.__dict__:
                module.forward = _by_product(module)
        self._sufficient: dict[bool, bool] = {}  # with kernels and without: whether `SameBits` changes linear layers only

    def by(self, product: Product, run: Callable[[], T]) -> T:
        """The result of `run`, with the products of linear layers computed by `product`."""
        return with_variable(_PRODUCT, product, run)

    def with_same_bits(self, run: Callable[[], T]) -> T:
        """The result of `run` as within `SameBits`. The first call finds out whether replacing linear layers is sufficient."""
        kernels = bool(build.status())
        if kernels not in self._sufficient:
            others = _Others()
            result = self.by(_marked, partial(within, others, run))
            self._sufficient[kernels] = not others.found
            return result
        return self.by(same_bits, run) if self._sufficient[kernels] else within(SameBits(), run)


class _Others(SameBits):
    """`SameBits` that records in `found` whether it changes anything besides replaced layers."""

    found = False

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        changed = (func in CHANGED or is_default(func, args, kwargs)) and not _INSIDE.get()
        self.found = self.found or changed
        return super().__torch_function__(func, types, args, kwargs)


_PRODUCT: ContextVar[Product | None] = ContextVar("product of linear layers", default=None)
_INSIDE: ContextVar[bool] = ContextVar("within a replaced layer", default=False)


def _marked(x: Tensor, weight_MK: Tensor, bias_M: Tensor | None) -> Tensor:
    """`same_bits`, marked for `_Others` as the work of a replaced layer."""
    return with_variable(_INSIDE, True, partial(same_bits, x, weight_MK, bias_M))


def _by_product(layer: nn.Linear) -> Forward:
    """The forward of a linear layer with the product of the current call, or its own where there is none."""
    own = layer.forward

    def forward(x: Tensor) -> Tensor:
        product = _PRODUCT.get()
        if product is None or (torch.is_grad_enabled() and layer.weight.requires_grad):
            return own(x)
        return product(x, layer.weight, layer.bias)

    return forward
