"""The numbers that a user passes: one for each token, or one total."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule._types import Floats
from chainrule.errors import InputError, short
from chainrule.text.arguments import as_list, is_missing

_MOST_DECIMALS = 5  # numbers with more decimals count as not rounded


@dataclass(frozen=True)
class Numbers:
    """The numbers as float64, with NaN for missing ones."""

    values: Floats
    total: bool  # one number for the whole text
    rounding: float  # half a unit of the last decimal, if all numbers have few decimals; else 0


def numbers_of(given: Any) -> Numbers:
    """The numbers in a number, list, tuple, array, Series or tensor. None and NaN mean that a token has no number.

    Raises InputError for anything else, and if there is no number at all.
    """
    if isinstance(given, Mapping):
        raise InputError(f"the numbers must be a list, not a {type(given).__name__}: {short(given)}")
    if hasattr(given, "detach"):
        given = given.detach().cpu().tolist()  # bfloat16 tensors have no NumPy array
    if isinstance(given, np.ndarray | np.generic):
        given = given.tolist()
    total = isinstance(given, int | float) and not isinstance(given, bool)
    items = [given] if total else as_list(given, "the numbers")
    if len(items) == 1 and isinstance(items[0], list | tuple | np.ndarray):
        items = list(items[0])  # a batch of one text
    values = np.array([_number(item, i) for i, item in enumerate(items)], np.float64)
    if np.isnan(values).all():
        raise InputError(f"there is no number to compare: {short(given)}")
    return Numbers(values, total, _rounding(values))


def _number(item: Any, index: int) -> float:
    if is_missing(item):
        return math.nan
    value: Any = item
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        value = value.item()  # an array or a tensor of one number
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"the numbers must be one for each token, or one total, but number {index} is {short(item)}")
    return float(value)


def _rounding(values: Floats) -> float:
    finite = values[np.isfinite(values)]
    for decimals in range(_MOST_DECIMALS + 1):
        if np.abs(finite - np.round(finite, decimals)).max(initial=0.0) <= 1e-12 * np.abs(finite).max(initial=1.0):
            return 0.5 * 10.0**-decimals
    return 0.0
