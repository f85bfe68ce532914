"""A suite: the surprisal of each region of its sentences, and whether its predictions hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from chainrule._types import Ints
from chainrule.files.row_text import json_text
from chainrule.results.accuracy import Accuracy
from chainrule.results.batch import Scores
from chainrule.results.columns import Row
from chainrule.results.provenance import FromScores
from chainrule.results.rows import Source, arrays, record
from chainrule.results.shown import Shown
from chainrule.results.tabular import Tabular
from chainrule.results.units import count


@dataclass(frozen=True)
class RegionScore:
    """A region of the sentence of an item in a condition."""

    item: int
    condition: str
    region: int  # its number
    region_name: str | None
    content: str
    surprisal_bits: float | None  # the sum over its tokens; None if one of them is given and has no factor
    tokens: int
    crossing: list[str]  # its tokens that also hold characters of the next region

    @property
    def boundary(self) -> str:
        """ "clean" or "token crosses"."""
        return "token crosses" if self.crossing else "clean"


@dataclass(frozen=True)
class Outcome:
    """Whether a prediction holds for an item."""

    item: int
    prediction: int  # its number, from 1
    formula: str
    holds: bool


@dataclass(frozen=True)
class Prediction(Accuracy):
    """A prediction, and for how many items it holds. There are no ties."""

    prediction: int  # its number, from 1

    @property
    def formula(self) -> str:
        return self.measure


def _rows(row: Row, name: str) -> Any:
    """A function that computes the columns of the list `name` of a suite."""

    def columns(suite: Suite) -> dict[str, Any]:
        results: Sequence[Any] = getattr(suite, name)
        zeros = np.zeros(len(results), np.int64)
        return arrays([Source(row, results, batch=False), Source(Row.ORIGIN, [suite], batch=False, take=zeros)])

    return columns


def _region_rows(suite: Suite) -> dict[str, Any]:
    sentence = Source(Row.SEQUENCE_OF_TOKEN, suite.scores, take=suite.sentence_R)
    return arrays([Source(Row.REGION, suite.regions, batch=False), sentence])


@dataclass(frozen=True, eq=False)
class Suite(FromScores, Shown, Tabular):
    """A suite that was scored. Its items are its predictions, with their accuracy. Surprisals are in bits."""

    name: str
    scores: Scores  # of its sentences
    regions: list[RegionScore]
    sentence_R: Ints  # the number of the sentence of each region in `scores`
    outcomes: list[Outcome]

    rows_per = {  # noqa: RUF012 (never written to)
        "prediction": _rows(Row.PREDICTION, "predictions"),
        "item": _rows(Row.OUTCOME, "outcomes"),
        "region": _region_rows,
    }

    @cached_property
    def predictions(self) -> list[Prediction]:
        """Each prediction, with the share of items for which it holds and its 95 % Wilson interval."""
        by_number: dict[int, list[Outcome]] = {}
        for outcome in self.outcomes:
            by_number.setdefault(outcome.prediction, []).append(outcome)
        return [
            Prediction(own[0].formula, None, sum(outcome.holds for outcome in own), 0, len(own), number)
            for number, own in sorted(by_number.items())
        ]

    @property
    def crossing(self) -> list[RegionScore]:
        """The regions with a token that crosses their end."""
        return [region for region in self.regions if region.crossing]

    def __len__(self) -> int:
        return len(self.predictions)

    def __iter__(self) -> Iterator[Prediction]:
        return iter(self.predictions)

    def __getitem__(self, item: int) -> Prediction:
        return self.predictions[item]

    def to_dict(self) -> dict[str, Any]:
        """The predictions, their outcomes for each item, and the regions, for JSON. Infinities are floats."""
        parts = {"predictions": Row.PREDICTION, "outcomes": Row.OUTCOME, "regions": Row.REGION}
        own = {name: [record(row, each) for each in getattr(self, name)] for name, row in parts.items()}
        start = {"start": self.scores.starts[0].to_dict(), "temperature": self.scores.temperature}
        return {"name": self.name, **own, **start, **self.provenance()}

    def to_json(self) -> str:
        """`to_dict` as text. Infinities are the strings "Infinity" and "-Infinity"."""
        return json_text(self.to_dict())

    def __repr__(self) -> str:
        items = len({region.item for region in self.regions})
        return f"Suite({self.name!r}, {count(items, 'item')}, {count(len(self), 'prediction')})"
