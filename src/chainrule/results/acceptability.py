"""Measures of the acceptability of sentences, from their log probabilities.

    MeanLP = LP / |s|        PenLP = LP / ((5 + |s|) / 6)^0.8        NormLP = −LP / LPu        SLOR = (LP − LPu) / |s|
    PMI = LP(s | c) − LP(s)

LP is log Pr of the sentence, given its context if it has one, LPu its log probability under a distribution of single tokens,
and |s| the number of its tokens. MeanLP, NormLP and SLOR are those of Lau, Clark and Lappin (2017), "Grammaticality,
acceptability, and probability"; SLOR is by Pauls and Klein (2012), "Large-scale syntactic language modeling with treelets".
PenLP divides by the length penalty of neural machine translation (Wu et al. 2016).

Shapes: S sequences, T tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from chainrule._types import Floats
from chainrule.files.row_text import json_text
from chainrule.results.batch import Scores
from chainrule.results.columns import Row
from chainrule.results.items import Items
from chainrule.results.provenance import FromScores
from chainrule.results.rows import Source, arrays, record
from chainrule.results.score import Score
from chainrule.results.shown import Shown
from chainrule.results.tabular import Tabular
from chainrule.results.units import count


def mean_lp(lp: Any, tokens: Any) -> Any:
    """MeanLP: the log probability per token."""
    return lp / tokens


def pen_lp(lp: Any, tokens: Any) -> Any:
    """PenLP: the log probability divided by a length penalty that grows more slowly than the length."""
    return lp / ((5 + tokens) / 6) ** 0.8


def norm_lp(lp: Any, unigram_lp: Any) -> Any:
    """NormLP: the negative ratio of the log probability to that of the single tokens; higher is more acceptable."""
    return -lp / unigram_lp


def slor(lp: Any, unigram_lp: Any, tokens: Any) -> Any:
    """SLOR, the syntactic log-odds ratio: the log probability per token beyond that of the single tokens."""
    return (lp - unigram_lp) / tokens


def _rows(result: Acceptability) -> dict[str, Any]:
    """One row per sequence: the columns of its score, and the measures."""
    measures = [Source(row, result) for row in result.rows]
    return arrays([Source(Row.SEQUENCE, result.scores), *measures], index=np.arange(len(result)))


@dataclass(frozen=True)
class Measures:
    """The measures of one sequence, in nats; None for a measure that needs more: see `LanguageModel.acceptability`."""

    score: Score
    rows: tuple[Row, ...]  # the kinds of measures that there are
    mean_lp_nats: float
    pen_lp_nats: float
    unigram_logprob: float | None
    norm_lp: float | None
    slor_nats: float | None
    logprob_alone: float | None
    pmi_nats: float | None

    def summary(self) -> dict[str, Any]:
        """The columns of the sequence and of its measures, in plain Python."""
        return self.score.summary() | self._measures()

    def to_dict(self) -> dict[str, Any]:
        """The summary and every factor, for JSON. Infinities are floats."""
        return self.score.to_dict() | self._measures()

    def _measures(self) -> dict[str, Any]:
        return {name: value for row in self.rows for name, value in record(row, self).items()}


@dataclass(frozen=True, eq=False)
class Acceptability(Items[Measures], FromScores, Shown, Tabular):
    """Measures of the acceptability of S sequences, as arrays in nats. Item i has the `Measures` of sequence i.

    See `LanguageModel.acceptability`.
    """

    scores: Scores
    unigram_logprob: Floats | None  # S: log probability of the tokens one by one; None without unigram=
    logprob_alone: Floats | None  # S: of the same tokens without their context; NaN without one. None: no contexts

    rows_per = {"sequence": _rows}  # noqa: RUF012 (never written to)

    @cached_property
    def mean_lp_nats(self) -> Floats:
        """MeanLP = LP / |s|."""
        return mean_lp(self.scores.logprob, self.scores.tokens)

    @cached_property
    def pen_lp_nats(self) -> Floats:
        """PenLP = LP / ((5 + |s|) / 6)^0.8."""
        return pen_lp(self.scores.logprob, self.scores.tokens)

    @cached_property
    def norm_lp(self) -> Floats | None:
        """NormLP = −LP / LPu, a ratio; None without unigram=."""
        return None if self.unigram_logprob is None else norm_lp(self.scores.logprob, self.unigram_logprob)

    @cached_property
    def slor_nats(self) -> Floats | None:
        """SLOR = (LP − LPu) / |s|; None without unigram=."""
        return None if self.unigram_logprob is None else slor(self.scores.logprob, self.unigram_logprob, self.scores.tokens)

    @cached_property
    def pmi_nats(self) -> Floats | None:
        """PMI = LP(s | c) − LP(s), NaN without a context; None if no sequence has one."""
        return None if self.logprob_alone is None else self.scores.logprob - self.logprob_alone

    @property
    def rows(self) -> tuple[Row, ...]:
        """The kinds of measures that there are."""
        unigram = (Row.UNIGRAM,) if self.unigram_logprob is not None else ()
        return (Row.ACCEPTABILITY, *unigram, *((Row.PMI,) if self.logprob_alone is not None else ()))

    def __len__(self) -> int:
        return len(self.scores)

    def _item(self, i: int, /) -> Measures:
        more = (self.unigram_logprob, self.norm_lp, self.slor_nats, self.logprob_alone, self.pmi_nats)
        others = (None if values is None or np.isnan(values[i]) else float(values[i]) for values in more)
        return Measures(self.scores[i], self.rows, float(self.mean_lp_nats[i]), float(self.pen_lp_nats[i]), *others)

    def part(self, which: slice) -> Acceptability:
        """Some consecutive sequences."""
        unigram, alone = (None if a is None else a[which] for a in (self.unigram_logprob, self.logprob_alone))
        return Acceptability(self.scores.part(which), unigram, alone)

    def to_json(self) -> str:
        """A JSON array of the rows of the table. Infinities are the strings "Infinity" and "-Infinity"."""
        return json_text(self.to_dicts())

    def __repr__(self) -> str:
        others = ["NormLP and SLOR"] * (self.unigram_logprob is not None) + ["PMI"] * (self.logprob_alone is not None)
        return f"Acceptability({count(len(self), 'sequence')}: {', '.join(['MeanLP and PenLP', *others])})"
