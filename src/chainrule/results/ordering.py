"""In which order a score's factors were taken, and what that makes of them.

Places count the whole sequence: those of a context come first, then those of the text.

Shapes: T columns of the score, G places that are given.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from chainrule._types import Ints
from chainrule.results.columns import Row
from chainrule.results.rows import record

_MOST = 16  # places written out before a line says …


@dataclass(frozen=True, eq=False)
class Ordering:
    """The order of prediction of one score. Its columns stay in the order of the text: column i is place `places[i]`."""

    order: Ints  # T places, in the order of prediction
    given: Ints  # G places, in the order in which they are known: of the context, and of a first token that is given
    length: int  # T + G
    length_given: bool  # whether a factor may depend on how long the text is: not so left to right in a causal model
    how: str  # one line: what keeps the places not yet predicted from view
    support: str = ""  # one line where not every token of the vocabulary can occur

    @cached_property
    def places(self) -> Ints:
        """The place of each column: T, ascending."""
        return np.sort(self.order)

    @cached_property
    def steps(self) -> Ints:
        """At which step each column was predicted: T numbers from 0."""
        return np.argsort(self.order, kind="stable")

    @property
    def known(self) -> Ints:
        """How many places are known when each column is predicted: T."""
        return len(self.given) + self.steps

    @property
    def left_to_right(self) -> bool:
        """Whether places are known in the order of the text."""
        return bool((np.diff(np.concatenate([self.given, self.order])) > 0).all())

    def contexts_of(self, column: int) -> Ints:
        """The places that the factor of a column was conditioned on, in the order in which they became known."""
        return np.concatenate([self.given, self.order[: self.steps[column]]])

    def describe(self) -> str:
        """One line for people."""
        parts = [f"order {'left to right' if self.left_to_right else listed(self.order)}"]
        if len(self.given):
            parts.append(f"given: {'place' if len(self.given) == 1 else 'places'} {listed(self.given)}")
        if self.length_given:
            parts.append(f"the length ({self.length} token{'s' * (self.length != 1)}) is given")
        return "; ".join([*parts, self.how, *([self.support] if self.support else [])])

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return record(Row.ORDERED, self)


def listed(places: Ints) -> str:
    """Places with commas; the last ones of many as their number."""
    shown = ", ".join(map(str, places[:_MOST].tolist()))
    return shown if len(places) <= _MOST else f"{shown}, … ({len(places) - _MOST} more)"
