"""One text in several orders: log Pr in each, their spread, and the mean of the probabilities.

The mean is a probability too: if the products of factors in each order are a distribution over all texts of a length, their
mean is one. All orders of one coherent joint give the same probability. The spread measures the distance from that.

Shapes: S texts, K orders of each.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from chainrule._types import Floats, Ints
from chainrule.models.identity import Identity
from chainrule.results import units
from chainrule.results.batch import Scores, sequence_rows, token_rows
from chainrule.results.columns import Row
from chainrule.results.items import Items
from chainrule.results.provenance import FromScores, WithWindow
from chainrule.results.rows import Source, arrays, record
from chainrule.results.score import Score
from chainrule.results.shown import Shown
from chainrule.results.tabular import Tabular


@dataclass(frozen=True, eq=False)
class Mixture(WithWindow, Shown):
    """A text in K orders. Logs are natural, in float64."""

    scores: list[Score]  # one per order

    @property
    def identity(self) -> Identity:
        return self.scores[0].identity

    @property
    def window(self) -> int | None:
        return self.scores[0].window

    @cached_property
    def logprobs(self) -> Floats:
        """log Pr of the text in each order: K."""
        return np.array([score.logprob for score in self.scores], np.float64)

    @cached_property
    def logprob(self) -> float:
        """The log of the mean of the K probabilities."""
        return log_mean(self.logprobs)

    @cached_property
    def logprob_spread(self) -> float:
        """The largest of `logprobs` minus the smallest, in nats; infinite if the text is impossible in some orders only."""
        return spread(self.logprobs)

    @property
    def orders(self) -> list[Ints]:
        """The order of prediction of each score: positions, first predicted first."""
        return [score.ordering.order for score in self.scores if score.ordering is not None]

    @property
    def text(self) -> str | None:
        return self.scores[0].text

    @property
    def kind(self) -> str:
        """`Score.kind`, which is the same in each order."""
        return self.scores[0].kind

    @property
    def bits(self) -> float:
        """−log2 of the mean probability."""
        return units.bits(self.logprob)

    def summary(self) -> dict[str, Any]:
        """The columns of a text in several orders, in plain Python."""
        return record(Row.ANY_ORDER, self.scores[0]) | record(Row.TEXT, self)

    def to_dict(self) -> dict[str, Any]:
        """The summary and the dictionary of every score, for JSON. Infinities are floats."""
        return self.summary() | self.provenance() | {"scores": [score.to_dict() for score in self.scores]}

    def __len__(self) -> int:
        return len(self.scores)

    def __iter__(self) -> Iterator[Score]:
        return iter(self.scores)

    def __getitem__(self, item: int) -> Score:
        return self.scores[item]

    def __repr__(self) -> str:
        name = ("Pr" if self.kind == "joint" else "Pr given its context") + self.scores[0].at_temperature
        over = f"{self.logprob:.6f} nats over {units.count(len(self), 'order')}"
        return f"Mixture(log {name} = {over}, spread {self.logprob_spread:.3g} nats, {self.scores[0].label})"


def _per_text(mixtures: Mixtures) -> dict[str, Any]:
    """One row per text: the mean over its orders, and lists with the values of each order."""
    first_S = np.arange(len(mixtures)) * mixtures.count
    sources = [Source(Row.ANY_ORDER, mixtures.scores, take=first_S), Source(Row.TEXT, mixtures)]
    return arrays(sources, index=np.arange(len(mixtures)))


def _per_order(mixtures: Mixtures) -> dict[str, Any]:
    """One row per order of a text."""
    return _numbered(mixtures, sequence_rows(mixtures.scores), np.arange(len(mixtures.scores)))


def _per_token(mixtures: Mixtures) -> dict[str, Any]:
    """One row per token in an order of a text."""
    scores = mixtures.scores
    return _numbered(mixtures, token_rows(scores), np.repeat(np.arange(len(scores)), scores.tokens))


def _numbered(mixtures: Mixtures, sources: list[Source], sequence: Ints) -> dict[str, Any]:
    """The columns of these sources, with the numbers of text and order. sequence: the number of the score of each row."""
    text, order = sequence // max(1, mixtures.count), sequence % max(1, mixtures.count)
    return arrays([*sources, Source(Row.ONE_ORDER, mixtures.scores)], index=text, nth_order=order)


@dataclass(frozen=True, eq=False)
class Mixtures(Items[Mixture], FromScores, Shown, Tabular):
    """S texts, each in K orders. Item i is the `Mixture` of text i."""

    scores: Scores  # S × K; the orders of a text are adjacent
    count: int  # K

    rows_per = {"text": _per_text, "order": _per_order, "token": _per_token}  # noqa: RUF012 (never written to)

    @classmethod
    def of(cls, scores: Scores, texts: int) -> Mixtures:
        """The mixtures of scores of this many texts, all in the same number of orders."""
        return cls(scores, len(scores) // max(1, texts))

    def part(self, which: slice) -> Mixtures:
        """Some consecutive texts."""
        first, stop, _ = which.indices(len(self))
        return Mixtures(self.scores.part(slice(first * self.count, stop * self.count)), self.count)

    @cached_property
    def logprobs(self) -> Floats:
        """log Pr of each text in each order: S × K."""
        return self.scores.logprob.reshape(len(self), -1) if len(self) else np.zeros((0, self.count))

    @cached_property
    def logprob(self) -> Floats:
        """The log of the mean probability of each text: S."""
        return np.array([log_mean(row) for row in self.logprobs], np.float64)

    @cached_property
    def logprob_spread(self) -> Floats:
        """`Mixture.logprob_spread` of each text: S."""
        return np.array([spread(row) for row in self.logprobs], np.float64)

    def __len__(self) -> int:
        return len(self.scores) // max(1, self.count)

    def _item(self, i: int, /) -> Mixture:
        first = i * self.count
        return Mixture(self.scores[first : first + self.count])

    def __repr__(self) -> str:
        largest = float(self.logprob_spread.max(initial=0.0))
        return f"Mixtures({units.count(len(self), 'text')} in {self.count} orders each, spread up to {largest:.3g} nats)"


def log_mean(logprobs: Sequence[float] | Floats) -> float:
    """The log of the mean of the probabilities, in float64; −inf if all are impossible."""
    top = float(max(logprobs))
    if top == -math.inf:
        return top
    return top + math.log(math.fsum(math.exp(float(logprob) - top) for logprob in logprobs) / len(logprobs))


def spread(logprobs: Sequence[float] | Floats) -> float:
    """The largest minus the smallest; 0 if all are −inf."""
    top, low = float(max(logprobs)), float(min(logprobs))
    return 0.0 if top == low else top - low
