"""Charts of scores: the surprisal of each token, and the entropy of its distribution."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chainrule.display.plots.lines import LONGEST, Line, line_chart, shared_labels, unique_names
from chainrule.display.plots.parts import MOST
from chainrule.results.batch import Scores
from chainrule.results.score import Score

if TYPE_CHECKING:
    import altair

_TOOLTIPS = {"bits": "surprisal (bits)", "entropy": "entropy (bits)", "rank": "rank"}


def score_chart(score: Score) -> altair.TopLevelMixin:
    """See `Score.plot`."""
    plot = ScorePlot()
    plot.add_score(score)
    return plot.chart()


def scores_chart(scores: Scores) -> altair.TopLevelMixin:
    """See `Scores.plot`."""
    plot = ScorePlot()
    plot.add(scores)
    return plot.chart()


class ScorePlot:
    """One line for each of the first texts; for a single one, the entropies as a second line."""

    def __init__(self) -> None:
        self._texts, self._scores = 0, list[Score]()

    def add(self, scores: Scores) -> None:
        self._scores += [scores[i] for i in range(min(len(scores), MOST - len(self._scores)))]
        self._texts += len(scores)

    def add_score(self, score: Score) -> None:
        self._scores.append(score)
        self._texts += 1

    def left_out(self) -> list[str]:
        """What the chart shows of the texts, if not all."""
        more = [f"the first {len(self._scores)} of {self._texts} texts"] if self._texts > len(self._scores) else []
        return more + [f"the first {LONGEST} tokens of a text"] * any(len(score) > LONGEST for score in self._scores)

    def chart(self) -> altair.TopLevelMixin:
        single = self._texts == 1
        names = ["surprisal"] if single else unique_names([score.text or score.label for score in self._scores])
        lines = [_line(name, score) for name, score in zip(names, self._scores, strict=True)]
        labels = shared_labels([line.labels for line in lines])
        heading = "Surprisal of each token (bits)"
        if single:
            surprisal, entropies = lines[0], self._scores[0].entropies_bits[:LONGEST].tolist()
            lines.append(Line("entropy before the token", surprisal.labels, entropies, surprisal.details, thin=True))
            heading = "Surprisal of each token and entropy (bits)"
        notes = [self._scores[0].identity.describe(), *self._scores[0].remarks, *self.left_out()]
        return line_chart(lines, labels, heading=heading, unit="token", notes=notes, tooltips=_TOOLTIPS)


def _line(name: str, score: Score) -> Line:
    entropies, ranks = score.entropies_bits[:LONGEST].tolist(), score.ranks[:LONGEST].tolist()
    details = [{"entropy": entropy, "rank": rank} for entropy, rank in zip(entropies, ranks, strict=True)]
    return Line(name, score.tokens[:LONGEST], score.surprisals_bits[:LONGEST].tolist(), details)
