"""Minimal pairs: which of two texts is more probable, and how often it is the good one.

Shapes: N pairs, S = 2 N sequences, the good and the bad text of a pair being adjacent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule._types import Floats, Ints
from chainrule.files.row_text import json_text
from chainrule.results.accuracy import Accuracy
from chainrule.results.batch import Scores
from chainrule.results.columns import Row
from chainrule.results.items import Items
from chainrule.results.provenance import FromScores, WithWindow
from chainrule.results.rows import Source, arrays, record
from chainrule.results.score import Score
from chainrule.results.shown import Shown, plotted
from chainrule.results.tabular import Tabular
from chainrule.results.units import count

if TYPE_CHECKING:
    import altair

MEASURES = ("logprob", "per_token", "per_byte")
_SAME = 1e-12  # relative difference of two numbers that are the same up to the rounding of float64
_WINNERS = {1: "good", -1: "bad", 0: "tie"}


@dataclass(frozen=True, eq=False)
class RegionFactors:
    """The critical region of each of S sequences: its text and its factors."""

    texts: list[str]
    first_S: Ints  # the first entry of the region in the arrays of the scores
    stop_S: Ints  # one past its last entry
    crossing: list[list[str]]  # the tokens that also hold characters outside of the region


@dataclass(frozen=True)
class Pair:
    """A good and a bad text with their scores."""

    good: Score
    bad: Score
    phenomenon: str | None
    difference_nats: float  # log Pr of the good text minus that of the bad one; of their regions, if there are any
    winner: str  # the more probable one: "good", "bad" or "tie"

    def __repr__(self) -> str:
        by = "" if self.winner == "tie" else f" by {abs(self.difference_nats):.6f} nats"
        return f"Pair({self.winner}{by}, {self.good.label} : {self.bad.label})"


def _pair_rows(pairs: Pairs) -> dict[str, Any]:
    """One row per pair."""
    good = 2 * np.arange(len(pairs))
    return arrays(
        [Source(Row.PAIR, pairs), Source(Row.SEQUENCE_OF_TOKEN, pairs.scores, take=good)], index=np.arange(len(pairs))
    )


def accuracy_rows(accuracy: Sequence[Accuracy], origin: WithWindow) -> dict[str, Any]:
    """One row per accuracy, with the model that they come from."""
    source = Source(Row.ORIGIN, [origin], batch=False, take=np.zeros(len(accuracy), np.int64))
    return arrays([Source(Row.ACCURACY, accuracy, batch=False), source])


@dataclass(frozen=True, eq=False)
class Pairs(Items[Pair], FromScores, Shown, Tabular):
    """N minimal pairs. Item i is the `Pair` i. Log probabilities are in nats.

    A pair is decided by three measures: `logprob` (log Pr), `per_token` (log Pr / tokens) and `per_byte` (log Pr / UTF-8
    bytes). Two numbers that are equal up to the rounding of float64 are a tie. A tie is no success, and it counts in n.
    """

    scores: Scores  # S
    phenomena: list[str] | None  # of each pair
    regions: RegionFactors | None  # None: whole texts are compared

    rows_per = {  # noqa: RUF012 (never written to)
        "pair": _pair_rows,
        "accuracy": lambda pairs: accuracy_rows(pairs.accuracy, pairs),
    }

    @cached_property
    def logprob(self) -> Floats:
        """log Pr of the good and the bad text of each pair, or of their regions: N × 2."""
        if self.regions is None:
            return self.scores.logprob.reshape(-1, 2)
        bounds = zip(self.regions.first_S.tolist(), self.regions.stop_S.tolist(), strict=True)
        sums = [math.fsum(self.scores.logprobs[first:stop].tolist()) for first, stop in bounds]
        return np.array(sums, np.float64).reshape(-1, 2)

    @property
    def tokens(self) -> Ints:
        """Number of factors of each text, or of its region: N × 2."""
        tokens_S = self.scores.tokens if self.regions is None else self.regions.stop_S - self.regions.first_S
        return tokens_S.reshape(-1, 2)

    @cached_property
    def bytes(self) -> Ints:
        """UTF-8 bytes of each text, or of its region: N × 2."""
        if self.regions is None:
            return self.scores.bytes.reshape(-1, 2)
        return np.array([len(text.encode()) for text in self.regions.texts], np.int64).reshape(-1, 2)

    @property
    def difference_nats(self) -> Floats:
        """log Pr of the good text minus that of the bad one, N; 0 if both are impossible."""
        good_N, bad_N = self.logprob.T
        with np.errstate(invalid="ignore"):
            return np.where(good_N == bad_N, 0.0, good_N - bad_N)

    def winners(self, measure: str = "logprob") -> list[str | None]:
        """The more probable text of each pair: "good", "bad" or "tie"; None without bytes, if `measure` is "per_byte"."""
        return [None if sign != sign else _WINNERS[int(sign)] for sign in self._signs(measure).tolist()]

    @cached_property
    def accuracy(self) -> list[Accuracy]:
        """The share of pairs whose good text is more probable, by each measure: of all pairs, then of each phenomenon."""
        groups: list[tuple[str | None, Any]] = [(None, slice(None))]
        if self.phenomena is not None:
            names = np.array(self.phenomena, object)
            groups += [(name, names == name) for name in dict.fromkeys(self.phenomena)]
        signs = {measure: self._signs(measure) for measure in MEASURES}
        return [_accuracy(measure, name, signs[measure][own]) for name, own in groups for measure in MEASURES]

    def _signs(self, measure: str) -> Floats:
        """1 where the good text is more probable, −1 where the bad one is, 0 for a tie, NaN without bytes."""
        size = {"logprob": np.ones_like(self.tokens), "per_token": self.tokens, "per_byte": self.bytes}[measure]
        with np.errstate(invalid="ignore", divide="ignore"):
            good_N, bad_N = (self.logprob / size).T
            near = np.abs(good_N - bad_N) <= _SAME * np.minimum(np.abs(good_N), np.abs(bad_N))
            same = (good_N == bad_N) | near
            sign_N = np.where(same, 0.0, np.where(good_N > bad_N, 1.0, -1.0))
        return np.where((size == 0).any(1), np.nan, sign_N)

    @property
    def boundary(self) -> list[str | None]:
        """ "clean", or "token crosses" if a token of a region also holds characters outside of it; None for whole texts."""
        if self.regions is None:
            return [None] * len(self)
        crossing = self.regions.crossing
        return ["token crosses" if crossing[s] or crossing[s + 1] else "clean" for s in range(0, len(crossing), 2)]

    @property
    def crossing(self) -> list[str]:
        """The tokens of regions that also hold characters outside of them."""
        return [] if self.regions is None else [token for own in self.regions.crossing for token in own]

    def __len__(self) -> int:
        return len(self.scores) // 2

    def _item(self, i: int, /) -> Pair:
        good, bad = self.scores[2 * i], self.scores[2 * i + 1]
        phenomenon = None if self.phenomena is None else self.phenomena[i]
        return Pair(good, bad, phenomenon, float(self.difference_nats[i]), _WINNERS[int(self._signs("logprob")[i])])

    def part(self, which: slice) -> Pairs:
        """Some consecutive pairs."""
        first, stop, _ = which.indices(len(self))
        both, regions = slice(2 * first, 2 * stop), self.regions
        scores = self.scores.part(both)
        if regions is not None:
            moved = self.scores.offsets[both.start]
            bounds = regions.first_S[both] - moved, regions.stop_S[both] - moved
            regions = RegionFactors(regions.texts[both], *bounds, regions.crossing[both])
        return Pairs(scores, None if self.phenomena is None else self.phenomena[first:stop], regions)

    def to_dict(self) -> dict[str, Any]:
        """The accuracies and the rows of all pairs, for JSON. Infinities are floats."""
        accuracy = [record(Row.ACCURACY, each) for each in self.accuracy]
        return {"accuracy": accuracy, "pairs": self.to_dicts(), **self.provenance()}

    def to_json(self) -> str:
        """`to_dict` as text. Infinities are the strings "Infinity" and "-Infinity"."""
        return json_text(self.to_dict())

    def plot(self) -> altair.TopLevelMixin:
        """An Altair chart with one line per pair: log Pr of the good and of the bad text, joined and sorted by the difference.

        Each phenomenon has a part of its own. The first 50 pairs are shown, or as many of each phenomenon. Raises OutputError
        without the extra `plot`. `save_plot` writes a chart to a file.
        """
        return plotted(self)

    def __repr__(self) -> str:
        return f"Pairs({count(len(self), 'pair')}, accuracy by log Pr {self.accuracy[0].describe()})"


def _accuracy(measure: str, group: str | None, sign_N: Floats) -> Accuracy:
    successes, ties = int((sign_N == 1).sum()), int((sign_N == 0).sum())
    return Accuracy(measure, group, successes, ties, int((~np.isnan(sign_N)).sum()))
