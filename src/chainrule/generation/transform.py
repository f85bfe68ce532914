"""Distributions altered for sampling: temperature, top-k, top-p and min-p, applied in this order.

    temperature T   Pr(v)^(1/T), normalised
    top_k           the k most probable tokens                                     (Fan et al. 2018, arXiv 1805.04833)
    top_p           the fewest most probable tokens that together reach p          (Holtzman et al. 2019, arXiv 1904.09751)
    min_p           tokens at least p times as probable as the most probable one   (Nguyen et al. 2024, arXiv 2407.01082)

Of equally probable tokens, those with smaller ids come first. The remaining tokens are normalised again. Their probability is
reported in addition to the model's.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chainrule.errors import InputError, short

if TYPE_CHECKING:
    from torch import Tensor

_LARGEST = sys.float_info.max
_FIRST = 1024  # most probable tokens, nearly always enough to reach top_p; sorting all tokens takes many times as long


@dataclass(frozen=True)
class Transform:
    """A change of a distribution. `changes` is False if it leaves every distribution as it is."""

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None

    def __post_init__(self) -> None:
        if not _is_number(self.temperature) or not 0 < self.temperature <= _LARGEST:
            raise InputError(
                f"temperature must be a number above 0, not {short(self.temperature)}; for the most probable token, "
                "use method='greedy'"
            )
        for name in ("top_p", "min_p"):
            value = getattr(self, name)
            if value is not None and (not _is_number(value) or not 0 < value <= 1):
                raise InputError(f"{name} must be a number above 0 and at most 1, not {short(value)}")

    @property
    def changes(self) -> bool:
        return bool(str(self))

    def __str__(self) -> str:
        """ "temperature 0.8, top_p 0.95"; empty if nothing is changed."""
        neutral = {"temperature": 1, "top_k": None, "top_p": 1, "min_p": None}
        values = ((name, getattr(self, name)) for name, none in neutral.items() if getattr(self, name) not in (none, None))
        return ", ".join(f"{name} {value:g}" for name, value in values)

    def __call__(self, logprob_V: Tensor) -> tuple[Tensor | None, Tensor]:
        """The ids of the M remaining tokens (None: all, in order), and their M log probabilities in float64."""
        z, ids = logprob_V / float(self.temperature), None
        if not z.max() > -math.inf:  # temperature so low that all overflow: the most probable tokens remain
            z = logprob_V.new_zeros(len(logprob_V)).masked_fill(logprob_V < logprob_V.max(), -math.inf)
        if self.top_k is not None and self.top_k < len(z):
            ids = _most_probable(z, self.top_k)
            z = z[ids]
        if self.top_p is not None and self.top_p < 1:
            z, ids = _nucleus(z, ids, self.top_p)
        if self.min_p is not None:
            keep = z >= z.max() + math.log(self.min_p)
            z, ids = z[keep], keep.nonzero().flatten() if ids is None else ids[keep]
        return ids, z.log_softmax(-1)


def _nucleus(z: Tensor, ids: Tensor | None, top_p: float) -> tuple[Tensor, Tensor]:
    """The fewest most probable tokens whose probabilities sum to `top_p` or more."""
    logsumexp, count = z.logsumexp(-1), _FIRST
    while True:
        best = _most_probable(z, count)
        above = (z[best] - logsumexp).exp().cumsum(-1)  # sums that include the token itself
        if above[-1] >= top_p or count >= len(z):
            break
        count *= 8
    keep = 1 + int((above < top_p).sum())
    best = best[:keep]
    return z[best], best if ids is None else ids[best]


def _most_probable(z: Tensor, count: int) -> Tensor:
    from chainrule.engine.head.most_probable import most_probable  # imports torch

    return most_probable(z[None], count)[0]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
