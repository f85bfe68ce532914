"""From hidden states to logits: the linear head of a language model, and any other head through the model's own code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from chainrule.models.base import Head
from chainrule.ops import native
from chainrule.ops.matmul import ROWS, write
from chainrule.ops.rounding import same_but_rounding

SCALES = (0.01, 1.0, 30.0, 1e3)  # of the hidden states on which two heads are compared
TOLERANCE = 1e-5  # relative to the largest logit: a few roundings in float32
TILE = 4096  # columns at a time, so that a tile of logits and its slice of the weights stay in the cache


class LinearHead:
    """z = softcap(scale · (h Wᵀ + b)), in float32, or in float64 for float64 weights; logits are never rounded to bfloat16."""

    tile = TILE

    def __init__(self, linear: nn.Linear, scale: float = 1.0, softcap: float | None = None) -> None:
        self.linear, self.scale, self.softcap = linear, scale, softcap
        self.size = linear.out_features
        self.dtype = torch.promote_types(linear.weight.dtype, torch.float32)

    @classmethod
    def of(cls, linear: nn.Linear, config: Any) -> LinearHead:
        """The head with the scale and softcap of the config (Cohere, Granite, Gemma …). The probe verifies it."""
        scale = float(getattr(config, "logit_scale", None) or 1.0) / float(getattr(config, "logits_scaling", None) or 1.0)
        return cls(linear, scale, getattr(config, "final_logit_softcapping", None))

    def on(self, linear: nn.Linear) -> LinearHead:
        """A head with the same scale and softcap, and another linear map."""
        return LinearHead(linear, self.scale, self.softcap)

    def write(self, hidden_MH: Tensor, first: int, logits_MV: Tensor, rows: int = ROWS) -> None:
        tile = slice(first, first + logits_MV.shape[1])
        weight = self.linear.weight[tile]
        if weight.is_cuda and weight.dtype != self.dtype:
            logits_MV.copy_(torch.mm(hidden_MH.to(weight.dtype), weight.T, out_dtype=self.dtype))
        elif rows == len(hidden_MH) and native.supports_few(
            hidden_MH, weight
        ):  # in scoring, `rows` is a full block, which is larger
            native.few_rows(hidden_MH, weight, logits_MV)
        elif native.supports_product(hidden_MH, weight):
            native.product(hidden_MH, weight, logits_MV)
        else:
            write(logits_MV, hidden_MH.to(self.dtype), weight.to(self.dtype).T, rows=rows)
        if self.linear.bias is not None:
            logits_MV += self.linear.bias[tile]
        if self.scale != 1.0:
            logits_MV *= self.scale
        if self.softcap is not None:
            logits_MV.div_(self.softcap).tanh_().mul_(self.softcap)


class OwnHead:
    """Any other head: the model's own forward, with the trunk's output replaced by the given hidden states."""

    def __init__(self, forward: Callable[[Tensor], Tensor], size: int, dtype: torch.dtype) -> None:
        self.forward, self.size, self.tile, self.dtype = forward, size, size, torch.promote_types(dtype, torch.float32)

    def write(self, hidden_MH: Tensor, first: int, logits_MV: Tensor, rows: int = ROWS) -> None:
        logits_MV.copy_(self.forward(hidden_MH)[:, first : first + logits_MV.shape[1]])


def same_logits(head: Head, own: Callable[[Tensor], Tensor], width: int, like: Tensor) -> bool:
    """Whether a head gives the model's own logits, to rounding, for hidden states of all sizes. Large ones reveal a softcap."""
    draw = torch.Generator().manual_seed(0)
    hidden_SMH = torch.randn(len(SCALES), 4, width, generator=draw, dtype=torch.float32, device="cpu")
    hidden_SMH *= torch.tensor(SCALES, dtype=torch.float32, device="cpu")[:, None, None]
    hidden_NH = hidden_SMH.to(like).flatten(0, 1)
    logits, own_logits = (x.unflatten(0, (len(SCALES), -1)) for x in (all_logits(head, hidden_NH), own(hidden_NH)))
    return same_but_rounding(logits, own_logits, TOLERANCE, (1, 2))


def all_logits(head: Head, hidden_MH: Tensor) -> Tensor:
    """All logits of all rows, M × V. For trials, which are small."""
    logits_MV = torch.empty(len(hidden_MH), head.size, dtype=head.dtype, device=hidden_MH.device)
    for first in range(0, head.size, head.tile):
        head.write(hidden_MH, first, logits_MV[:, first : first + head.tile])
    return logits_MV


class IdentityHead:
    """A head for models whose hidden states are already logits."""

    def __init__(self, size: int, dtype: torch.dtype) -> None:
        self.size, self.tile, self.dtype = size, size, dtype

    def write(self, hidden_MH: Tensor, first: int, logits_MV: Tensor, rows: int = ROWS) -> None:
        logits_MV.copy_(hidden_MH[:, first : first + logits_MV.shape[1]])
