"""Numbers of a page: in few digits, and those that may be infinite."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from torch import Tensor

from chainrule._types import Floats


def shortest(numbers: Tensor) -> Any:
    """Numbers in float32 as nested lists, each with the fewest digits that name it."""
    return _digits(numbers.detach().float().cpu().numpy())


def _digits(array: Any) -> Any:
    return float(str(array)) if not array.ndim else [_digits(each) for each in array]


def logits_list(logits: Floats) -> Any:
    """Logits as nested lists. Those of a float32 head in the fewest digits that name them, others in all digits."""
    narrow = logits.astype(np.float32)
    return _digits(narrow) if np.array_equal(narrow, logits) else logits.tolist()


def rounded(number: float, digits: int = 9) -> float:
    """A number with this many significant digits."""
    return float(f"{number:.{digits}g}")


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
