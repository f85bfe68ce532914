"""Linear layers of a network run by another product for a while.

`SameBits` sees every function that a network calls, which takes microseconds each: next to nothing for a chunk, a sixth of the
time for one step of growing. Where linear layers are all that it would change, it is enough to replace those.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn

from chainrule import native
from chainrule.models.products import SAME, SameBits, rowwise
from chainrule.models.stand_ins import Forward, StandIns
from chainrule.native import build

Product = Callable[[Tensor, Tensor, Tensor | None], Tensor]

FEW = 8  # rows up to which reading the weight takes the time, and the kernel for few rows is twice as fast


def same_bits(x: Tensor, weight_MK: Tensor, bias_M: Tensor | None) -> Tensor:
    """The product whose rows have the same bits in any company."""
    return rowwise(x, weight_MK.T, bias_M)


def few_rows(x: Tensor, weight_MK: Tensor, bias_M: Tensor | None) -> Tensor:
    """The fastest product where there are few rows."""
    x_NK = x.reshape(-1, x.shape[-1])
    if len(x_NK) > FEW or not native.supports_few(x_NK, weight_MK):
        return nn.functional.linear(x, weight_MK, bias_M)
    out = x.new_empty(*x.shape[:-1], len(weight_MK))
    native.few_rows(x_NK, weight_MK, out.view(-1, len(weight_MK)))
    return out if bias_M is None else out.add_(bias_M)


class Linears:
    """The linear layers of one network."""

    def __init__(self, trunk: nn.Module) -> None:
        self._trunk, self._layers = trunk, StandIns(trunk, _replaceable)
        self._all: dict[bool, bool] = {}  # with kernels, and without: whether they are all that `SameBits` would change

    @contextmanager
    def by(self, product: Product) -> Iterator[None]:
        """With their products computed by `product`."""
        token = _PRODUCT.set(product)
        try:
            with self._layers:
                yield
        finally:
            _PRODUCT.reset(token)

    @contextmanager
    def with_same_bits(self) -> Iterator[None]:
        """As within `SameBits`; the first time that is looked at, and where more would have to change it stays."""
        kernels = bool(build.status())
        if self._all.get(kernels) is False:
            with SameBits():
                yield
            return
        with self.by(same_bits):
            if self._all.get(kernels):
                yield
                return
            with _Others() as others:
                yield
        self._all[kernels] = not others.found

    def __reduce__(self) -> tuple:
        return Linears, (self._trunk,)  # a copy of the network finds out for itself


class _Others(SameBits):
    """`SameBits`, noting what it changes besides the layers that are replaced."""

    found = False

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        self.found = self.found or (func in SAME and not _INSIDE.get())
        return super().__torch_function__(func, types, args, kwargs)


_PRODUCT: ContextVar[Product | None] = ContextVar("product of linear layers", default=None)
_INSIDE: ContextVar[bool] = ContextVar("within a layer that is replaced", default=False)


def _replaceable(module: nn.Module) -> Forward | None:
    """A linear layer by whatever product is asked for in this thread; its own where none is."""
    if type(module) is not nn.Linear or "forward" in module.__dict__:
        return None
    own, layer = module.forward, module

    def forward(x: Tensor) -> Tensor:
        product = _PRODUCT.get()
        if product is None or (torch.is_grad_enabled() and layer.weight.requires_grad):
            return own(x)
        token = _INSIDE.set(True)
        try:
            return product(x, layer.weight, layer.bias)
        finally:
            _INSIDE.reset(token)

    return forward
