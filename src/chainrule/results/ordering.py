"""The order of prediction of a score, and the tokens that are given.

Positions are those of the whole sequence: the context, then the text.

Shapes: T factors of the score, G positions that are given.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from chainrule._types import Ints
from chainrule.results.columns import Row
from chainrule.results.rows import record

_MOST = 16  # positions listed in a line; the others become …


@dataclass(frozen=True, eq=False)
class Ordering:
    """The order of prediction of one score. Its factors are in text order: factor i is that of position `places[i]`."""

    order: Ints  # T positions, in the order of prediction
    given: Ints  # G positions, in the order in which they are known: the context, and a given first token
    length: int  # T + G
    length_given: bool  # whether factors may depend on the length of the text; false left to right in a causal model
    how: str  # one line: how positions that are not predicted yet are hidden
    support: str = ""  # one line if some tokens of the vocabulary cannot occur

    @cached_property
    def places(self) -> Ints:
        """The position of each factor: T, ascending."""
        return np.sort(self.order)

    @cached_property
    def steps(self) -> Ints:
        """The step at which each factor was predicted: T numbers from 0."""
        return np.argsort(self.order, kind="stable")

    @property
    def known(self) -> Ints:
        """The number of positions known when each factor is predicted: T."""
        return len(self.given) + self.steps

    @property
    def left_to_right(self) -> bool:
        """Whether positions become known in text order."""
        return bool((np.diff(np.concatenate([self.given, self.order])) > 0).all())

    def contexts_of(self, column: int) -> Ints:
        """The positions that a factor was conditioned on, in the order in which they became known."""
        return np.concatenate([self.given, self.order[: self.steps[column]]])

    def describe(self) -> str:
        """One line for people."""
        parts = [f"order {'left to right' if self.left_to_right else listed(self.order)}"]
        if len(self.given):
            parts.append(f"given: {'position' if len(self.given) == 1 else 'positions'} {listed(self.given)}")
        if self.length_given:
            parts.append(f"the length ({self.length} token{'s' * (self.length != 1)}) is given")
        return "; ".join([*parts, self.how, *([self.support] if self.support else [])])

    def __repr__(self) -> str:
        return f"Ordering({self.describe()})"

    def to_dict(self) -> dict[str, Any]:
        """The columns of an order, in plain Python."""
        return record(Row.ORDERED, self)


def listed(positions: Ints) -> str:
    """Positions separated by commas; those after the first 16 are only counted."""
    shown = ", ".join(map(str, positions[:_MOST].tolist()))
    return shown if len(positions) <= _MOST else f"{shown}, … ({len(positions) - _MOST} more)"
