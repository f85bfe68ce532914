"""A user's numbers beside ours, and the causes of the difference."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule._types import Floats
from chainrule.files.row_text import json_text
from chainrule.models.identity import Identity
from chainrule.results.columns import Row
from chainrule.results.provenance import WithWindow
from chainrule.results.rows import Source, arrays, records
from chainrule.results.score import Score
from chainrule.results.shown import Shown, as_text
from chainrule.results.tabular import Tabular
from chainrule.results.units import count

UNKNOWN = (
    "no known cause explains the difference. Check that both used the same weights (revision, quantisation), that the model "
    "was in evaluation mode (model.eval(), no dropout), and that padding was masked, with positions counted without it"
)


@dataclass(frozen=True)
class Cause:
    """One cause of a difference: its name, what the user's numbers are, and how to get ours."""

    name: str
    description: str
    remedy: str


@dataclass(frozen=True, eq=False)
class Comparison(WithWindow, Shown, Tabular):
    """The numbers of a user beside ours, one row for each number, or one for a total.

    `expected` holds the numbers that a computation with `causes` gives, in the unit of `yours`; without causes, ours. NaN in
    an array means that there is no number.
    """

    score: Score  # ours
    tokens: list[str]  # of each row
    logprobs: Floats  # ours, in nats
    yours: Floats  # as given
    expected: Floats
    unit: str  # of `yours`, such as "nats" or "bits"
    tolerance: float  # the largest difference that rounding explains, in that unit
    agrees: bool  # whether the numbers are ours up to rounding
    causes: tuple[Cause, ...]  # empty if the numbers agree, or if no known cause explains the difference

    rows_per = {  # noqa: RUF012 (never written to)
        "number": lambda comparison: arrays(
            [
                Source(Row.COMPARED, [comparison], batch=False),
                Source(Row.ORIGIN, [comparison], batch=False, take=np.zeros(len(comparison), np.int64)),
            ]
        ),
    }

    @property
    def identity(self) -> Identity:
        return self.score.identity

    @property
    def window(self) -> int | None:
        return self.score.window

    @property
    def cause(self) -> str | None:
        """The names of the causes; None if the numbers agree, or if the cause is unknown."""
        return " + ".join(cause.name for cause in self.causes) or None

    @property
    def remedy(self) -> str | None:
        """How to get our numbers; None if the numbers agree."""
        if self.agrees:
            return None
        return "; ".join(cause.remedy for cause in self.causes) or UNKNOWN

    @property
    def differences(self) -> Floats:
        """`yours` − `expected`, in the unit of `yours`; NaN if there is no number, 0 if both are the same infinity."""
        with np.errstate(invalid="ignore"):
            return np.where(self.yours == self.expected, 0.0, self.yours - self.expected)

    @property
    def largest(self) -> int | None:
        """The row with the largest difference; None if no row has both numbers."""
        size = np.abs(self.differences)
        return None if np.isnan(size).all() else int(np.nanargmax(size))

    def __len__(self) -> int:
        return len(self.yours)

    def describe(self) -> list[str]:
        """The conclusion in lines of text."""
        largest = self.largest
        if self.agrees:
            error = 0.0 if largest is None else abs(float(self.differences[largest]))
            return [f"the numbers agree: the largest difference is {error:.2g} {self.unit} (tolerance {self.tolerance:.2g})"]
        if self.causes:
            lines = [f"your numbers differ: {self.cause}"]
            for cause in self.causes:
                lines += [f"  {cause.description}", f"  to get ours: {cause.remedy}"]
            return lines
        given, ours = int((~np.isnan(self.yours)).sum()), int((~np.isnan(self.expected)).sum())
        where = (
            f"you gave {count(given, 'number')}, to be compared with {count(ours, 'number')} of ours"
            if given != ours
            else "no row has both numbers"
            if largest is None
            else f"the largest difference is {self.differences[largest]:.6g}, at {self.tokens[largest]!r} (row {largest})"
        )
        return [f"your numbers differ, and the cause is unknown: {where}", f"  {UNKNOWN}"]

    def to_dict(self) -> dict[str, Any]:
        """The conclusion and every number, for JSON."""
        largest = self.largest
        return {
            "agrees": self.agrees,
            "cause": self.cause,
            "causes": [{"index": i} | vars(cause) for i, cause in enumerate(self.causes)],
            "remedy": self.remedy,
            "unit": self.unit,
            "tolerance": self.tolerance,
            "largest_difference": None if largest is None else float(self.differences[largest]),
            "start": self.score.start.to_dict(),
            "text": self.score.text,
            "numbers": [{"index": i} | row for i, row in enumerate(records([Row.COMPARED], self))],
            **self.provenance(),
        }

    def to_json(self) -> str:
        """`to_dict` as text. Infinities are the strings "Infinity" and "-Infinity"."""
        return json_text(self.to_dict())

    def __repr__(self) -> str:
        return f"Comparison({self.describe()[0]})"

    def __str__(self) -> str:
        return as_text(self)

    def heads(self) -> tuple[str, ...]:
        """The heads of the columns of the table, with units."""
        return "token", "ours (nats)", *(f"{name} ({self.unit})" for name in ("yours", "expected", "difference"))

    def cells(self) -> list[tuple[str, ...]]:
        """The rows of the table as text."""
        numbers = zip(self.logprobs, self.yours, self.expected, self.differences, strict=True)
        return [
            (repr(token) if token else "", *(_shown(n) for n in row[:3]), "" if math.isnan(row[3]) else f"{row[3]:.2g}")
            for token, row in zip(self.tokens, numbers, strict=True)
        ]


def _shown(number: float) -> str:
    return "" if math.isnan(number) else f"{number:.6g}" if abs(number) < 1e-4 or abs(number) >= 1e6 else f"{number:.6f}"
