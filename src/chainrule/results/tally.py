"""What choices of questions come to: the accuracy of each measure, and the calibration.

Shapes: Q questions, C choices of all of them, M measures, B bins.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from chainrule._checks import is_whole
from chainrule._types import Bools, Floats, Ints
from chainrule.errors import InputError, short
from chainrule.forest.forest import offsets, ranges
from chainrule.results.accuracy import Accuracy, wilson

BY = ("width", "count")


@dataclass(frozen=True)
class ChoiceAccuracy(Accuracy):
    """The questions whose predicted choice is the answer. Of choices with the same number, the first is predicted.

    `ties` is the number of questions with such a tie for the best choice.
    """

    chance: float  # the expected share of a uniform choice: the mean of 1 / choices


@dataclass(frozen=True)
class Bin:
    """The questions whose confidence is in low < c ≤ high; of the first bin, also c = low."""

    bin: int  # its number, from 0
    low: float
    high: float
    n: int
    confidence: float | None  # the mean of its questions; None without questions
    successes: int

    @property
    def accuracy(self) -> float | None:
        """successes / n; None without questions."""
        return self.successes / self.n if self.n else None

    @property
    def accuracy_low(self) -> float | None:
        """The lower end of the 95 % Wilson interval."""
        return wilson(self.successes, self.n)[0] if self.n else None

    @property
    def accuracy_high(self) -> float | None:
        return wilson(self.successes, self.n)[1] if self.n else None


@dataclass(frozen=True)
class Calibration:
    """How well the probabilities within the set of choices agree with the answers.

    The confidence of a question is the largest of them. ECE = Σ_b n_b / n · |accuracy_b − confidence_b| over the bins.
    Brier = the mean over questions of Σ_k (p_k − [k is the answer])², from 0 to 2. nll_nats = the mean of −log p of the answer.
    """

    bins: list[Bin]
    by: str  # "width": bins of equal width from 0 to 1; "count": bins with as many questions each
    ece: float
    brier: float
    nll_nats: float
    n: int
    undefined: int  # questions left out: all choices are impossible, so there are no probabilities within the set

    @property
    def binning(self) -> str:
        """What the bins are: "10 bins of equal width"."""
        return f"{len(self.bins)} bin{'s' * (len(self.bins) != 1)} of equal {self.by}"

    def describe(self) -> str:
        """ "ECE 0.0512 (10 bins of equal width), Brier 0.312, negative log likelihood 0.541 nats, n 200"."""
        left_out = f", {self.undefined} left out: all choices are impossible" if self.undefined else ""
        numbers = f"Brier {self.brier:.4f}, negative log likelihood {self.nll_nats:.4f} nats, n {self.n}"
        return f"ECE {self.ece:.4f} ({self.binning}), {numbers}{left_out}"


@dataclass(frozen=True, eq=False)
class Tally:
    """The predicted choice of each question by each measure, the answers, and the probabilities within the sets of choices."""

    measures: tuple[str, ...]
    predicted: Ints  # Q × M: the number of the choice among those of its question
    tied: Bools  # Q × M: whether it is the first of several
    answer: Ints  # Q; −1 without one
    size: Ints  # Q: number of choices
    within_set: Floats  # C; NaN if all choices of the question are impossible

    @staticmethod
    def joined(parts: Sequence[Tally]) -> Tally:
        """All parts together."""
        arrays = [
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("predicted", "tied", "answer", "size", "within_set")
        ]
        return Tally(parts[0].measures, *arrays)

    @property
    def answered(self) -> int:
        """The number of questions with an answer."""
        return int((self.answer >= 0).sum())

    @property
    def calibrated(self) -> bool:
        """Whether a question has an answer, and probabilities within the set."""
        defined = ~np.isnan(self.within_set[offsets(self.size)[:-1]])
        return bool(((self.answer >= 0) & defined).any())

    def accuracy(self) -> list[ChoiceAccuracy]:
        """The share of questions with an answer whose predicted choice is the answer, by each measure; [] without answers."""
        known = self.answer >= 0
        if not known.any():
            return []
        chance = math.fsum((1 / self.size[known]).tolist()) / int(known.sum())
        right, tied = self.predicted[known] == self.answer[known, None], self.tied[known]
        return [
            ChoiceAccuracy(measure, None, int(right[:, m].sum()), int(tied[:, m].sum()), int(known.sum()), chance)
            for m, measure in enumerate(self.measures)
        ]

    def calibration(self, bins: int = 10, by: str = "width") -> Calibration:
        """The calibration of the probabilities within the sets of choices. Raises InputError without answers.

        by: "width": bins of equal width from 0 to 1; "count": bins with as many questions each, except that equal confidences
        are in the same bin, so that there can be fewer bins.
        """
        check_bins(bins, by)
        known = self.answer >= 0
        if not known.any():
            raise InputError("no question has an answer, so there is no calibration")
        start = offsets(self.size)
        confidence = np.maximum.reduceat(self.within_set, start[:-1])
        own = np.flatnonzero(known & ~np.isnan(confidence))
        undefined = int(known.sum()) - len(own)
        if not len(own):
            raise InputError("all choices of each question are impossible, so there is no calibration")
        of_answer = self.within_set[start[own] + self.answer[own]]
        deviation = self.within_set.copy()
        deviation[start[own] + self.answer[own]] -= 1
        squares = deviation[ranges(start[own], self.size[own])] ** 2
        with np.errstate(divide="ignore"):
            nll = -math.fsum(np.log(of_answer).tolist()) / len(own)
        right = self.predicted[own, 0] == self.answer[own]
        found = _bins(confidence[own], right, bins, by)
        ece = math.fsum(
            b.n * abs(b.accuracy - b.confidence) for b in found if b.accuracy is not None and b.confidence is not None
        )
        return Calibration(found, by, ece / len(own), math.fsum(squares.tolist()) / len(own), nll, len(own), undefined)


def check_bins(bins: int, by: str) -> None:
    """Raises InputError for bins that are not possible."""
    if not is_whole(bins, 1, 1000):
        raise InputError(f"bins must be a whole number from 1 to 1000, not {short(bins)}")
    if by not in BY:
        raise InputError(f"bins are by {' or '.join(BY)}, not {short(by)}")


def _bins(confidence: Floats, right: Bools, bins: int, by: str) -> list[Bin]:
    order = np.argsort(confidence, kind="stable")
    sorted_Q, right_Q = confidence[order], right[order]
    if by == "width":
        edges = [i / bins for i in range(bins + 1)]
        cuts = [0, *np.searchsorted(sorted_Q, edges[1:-1], side="right").tolist(), len(sorted_Q)]
    else:
        even = [len(sorted_Q) * i // bins for i in range(1, bins)]
        # equal confidences belong to the bin of the first of them
        moved = [int(np.searchsorted(sorted_Q, sorted_Q[cut - 1], side="right")) for cut in even if cut]
        cuts = sorted({0, *moved, len(sorted_Q)})
        edges = [float(sorted_Q[0]), *(float(sorted_Q[cut - 1]) for cut in cuts[1:])]
    found = []
    for i, (first, stop) in enumerate(pairwise(cuts)):
        n = stop - first
        mean = math.fsum(sorted_Q[first:stop].tolist()) / n if n else None
        found.append(Bin(i, edges[i], edges[i + 1], n, mean, int(right_Q[first:stop].sum())))
    return found
