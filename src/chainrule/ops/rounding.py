"""Whether two computations of the same numbers differ by rounding alone."""

from __future__ import annotations

import torch
from torch import Tensor


def same_but_rounding(result: Tensor, own: Tensor, tolerance: float, dims: tuple[int, ...]) -> bool:
    """Whether they differ by at most `tolerance` of the largest number over `dims`, and are finite at the same positions."""
    finite = own.isfinite() & result.isfinite()
    gap, largest = (torch.where(finite, x, 0).abs().amax(dims) for x in (result - own, own))
    return torch.equal(result.isfinite(), own.isfinite()) and bool((gap <= tolerance * largest).all())
