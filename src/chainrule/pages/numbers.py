"""Numbers of a page: those of a network, and those that may be infinite."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor


def wide(numbers: Tensor) -> Tensor:
    """Numbers in float32, or in float64 if they are of that type."""
    return numbers if numbers.dtype == torch.float64 else numbers.float()


def shortest(numbers: Tensor) -> Any:
    """Numbers as nested lists, in the fewest digits that name them in float32, or in float64 if they are of that type."""
    own = wide(numbers.detach()).cpu()
    return own.tolist() if own.dtype == torch.float64 else _shortest(own.numpy())


def _shortest(array: Any) -> Any:
    return float(str(array)) if not array.ndim else [_shortest(each) for each in array]


def total(numbers: Iterable[float]) -> float | None:
    """The exactly rounded sum; None if it is ∞ − ∞."""
    numbers = list(numbers)
    return None if math.inf in numbers and -math.inf in numbers else math.fsum(numbers)


def strict(value: Any) -> Any:
    """Plain data in which numbers that are not finite, which JSON lacks, are the strings "Infinity" and "-Infinity"."""
    if isinstance(value, dict):
        return {name: strict(each) for name, each in value.items()}
    if isinstance(value, list):
        return [strict(each) for each in value]
    if isinstance(value, float) and math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value
