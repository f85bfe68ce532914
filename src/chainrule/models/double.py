"""Models that compute in float64 throughout, so that rounding is negligible: two correct computations agree to 1e-12."""

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
    """The same network with float64 weights, and float64 where its code names float32 (softmaxes, norms, routers)."""

    @classmethod
    def of(cls, model: PretrainedModel) -> DoubleModel:
        return cls(sharing_weights(model.lm, model.name, torch.float64), model.name, model.run_config)

    @cached_property
    def reference(self) -> Any:
        return in_double(super().reference)

    @cached_property
    def runner(self) -> Any:
        return in_double(super().runner)


@contextmanager
def in_float64(model: N) -> Iterator[N]:
    """The same model on a separate network that computes in float64, for the duration of a `with` block."""
    with model.temporary_trial(torch.float64) as trial:
        in_double(trial.reference)
        in_double(trial.runner)
        yield trial


def in_double(network: Any) -> Any:
    """Make a network that belongs to the caller compute in float64. Returns it."""
    network.double()
    if network._can_set_experts_implementation():
        network.set_experts_implementation("eager")  # grouped products do not support float64
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
    """float64 where code asks for float32, and where a result would be float32."""

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        args = tuple(torch.float64 if arg is torch.float32 else arg for arg in args)
        options = {name: torch.float64 if value is torch.float32 else value for name, value in (kwargs or {}).items()}
        run: Callable = Tensor.double if func is Tensor.float else func
        result = run(*args, **options)
        return Tensor.double(result) if isinstance(result, Tensor) and result.dtype is torch.float32 else result
