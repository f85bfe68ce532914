"""A model that computes in float64 throughout: there rounding is out of the way, and two ways that agree agree to 1e-12."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property, partial, wraps
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from chainrule.models.causal import PretrainedModel
from chainrule.models.transformer import Network, sharing_weights
from chainrule.models.trunk import trunk_of
from chainrule.ops.sealed import within

N = TypeVar("N", bound=Network)


class DoubleModel(PretrainedModel):
    """The same network with float64 weights, and with float64 where its code says float32 (softmaxes, norms, routers)."""

    @classmethod
    def of(cls, model: PretrainedModel) -> DoubleModel:
        return cls(sharing_weights(model.lm, model.name, torch.float64), model.name, model.way)

    @cached_property
    def reference(self) -> Any:
        return in_double(super().reference)

    @cached_property
    def runner(self) -> Any:
        return in_double(super().runner)


@contextmanager
def in_float64(model: N) -> Iterator[N]:
    """The same model on a network of its own that computes so, for a while: for those that are run in one way only."""
    with model.on_trial(torch.float64) as found:
        in_double(found.reference)
        in_double(found.runner)
        yield found


def in_double(network: Any) -> Any:
    """A copy that nobody else runs, made to compute so."""
    network.double()
    if network._can_set_experts_implementation():
        network.set_experts_implementation("eager")  # grouped products know no float64
    for part in (trunk_of(network), network):
        _compute_in_double(part)
    return network


def _compute_in_double(part: nn.Module) -> None:
    own = part.forward

    @wraps(own)
    def forward(*args: Any, **kwargs: Any) -> Any:
        return within(_Double(), partial(own, *args, **kwargs))

    part.forward = forward


class _Double(TorchFunctionMode):
    """float64 where float32 is asked for, and where it would come about."""

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        args = tuple(torch.float64 if arg is torch.float32 else arg for arg in args)
        options = {name: torch.float64 if value is torch.float32 else value for name, value in (kwargs or {}).items()}
        run: Callable = Tensor.double if func is Tensor.float else func
        found = run(*args, **options)
        return Tensor.double(found) if isinstance(found, Tensor) and found.dtype is torch.float32 else found
