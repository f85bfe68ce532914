"""Checks of what is handed in."""

from __future__ import annotations

from typing import Any, TypeGuard

import numpy as np


def is_whole(value: Any, low: float = float("-inf"), high: float = float("inf")) -> TypeGuard[int]:
    """Whether it is a whole number from `low` to `high`, of Python or NumPy. True and False are not numbers here."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and bool(low <= value <= high)


def is_number(value: Any) -> TypeGuard[float]:
    """Whether it is a number, of Python or NumPy. True and False are not numbers here."""
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
