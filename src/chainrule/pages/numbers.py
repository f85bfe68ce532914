"""Numbers of a page: float32 in few digits, and sums and differences of log probabilities that may be infinite."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from torch import Tensor


def shortest(numbers: Tensor) -> Any:
    """Numbers in float32 as nested lists, each with the fewest digits that name it."""
    return _digits(numbers.detach().float().cpu().numpy())


def _digits(array: Any) -> Any:
    return float(str(array)) if not array.ndim else [_digits(each) for each in array]


def total(numbers: Iterable[float]) -> float | None:
    """The exactly rounded sum; None if it is ∞ − ∞."""
    numbers = list(numbers)
    return None if math.inf in numbers and -math.inf in numbers else math.fsum(numbers)
