"""Words of texts, with the log probability of each.

Shapes: S texts, W words of all texts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from chainrule._types import Floats, Ints
from chainrule.files.row_text import json_text
from chainrule.forest.forest import offsets, ranges
from chainrule.results.batch import Scores
from chainrule.results.column_values import none_if_nan
from chainrule.results.columns import Row
from chainrule.results.items import Items
from chainrule.results.provenance import FromScores
from chainrule.results.rows import Source, arrays
from chainrule.results.shown import Shown, plotted
from chainrule.results.tabular import Tabular
from chainrule.results.units import count

if TYPE_CHECKING:
    import altair

_LN2 = math.log(2)


class Word(NamedTuple):
    """One word, or another unit of a text."""

    text_index: int  # the number of its text
    word_index: int  # its number in the text, from 0
    word: str
    begin: int  # its first character
    stop: int  # one past its last character
    tokens: int
    logprob: float | None  # nats, with the correction; None without a start symbol for the first word, and without tokens
    surprisal_bits: float | None
    boundary: str


@dataclass(frozen=True, eq=False)
class Words(Items[Word], FromScores, Shown, Tabular):
    """The W words of S texts, text after text. Log probabilities are in nats; NaN for a word without one.

    A word has no log probability if its first token is given (start "given"), or if no token begins in it.
    """

    scores: Scores  # of the S texts
    count_S: Ints  # words of each text
    begin: Ints  # the first character of each word, and one past the last
    stop: Ints
    first: Ints  # the factor of its first token in the arrays of `scores`; −1 without one
    tokens: Ints  # its number of factors
    logprob: Floats  # log Pr of the word, corrected for the probability that it begins and ends where it does
    logprob_uncorrected: Floats  # the sum of its factors
    entropy: Floats  # of the distribution at the place of its first token, nats
    crossing: dict[int, list[str]]  # for each word with a token that is also part of another word: these tokens
    unmarked: frozenset[int]  # words that begin or end where the rule does not allow it
    unit: str  # "whitespace", "unicode", the name of a function, or "given"
    rule: str | None  # by which tokens begin a word; None: without correction
    previous: int = 0  # the number of columns with the surprisals of the words before

    rows_per = {"word": lambda words: word_rows(words)}  # noqa: RUF012 (never written to)

    def part(self, texts: slice) -> Words:
        """The words of some consecutive texts."""
        first, stop, _ = texts.indices(len(self.count_S))
        w = slice(int(self.offsets[first]), int(self.offsets[max(first, stop)]))
        factors = int(self.scores.offsets[first])
        return replace(
            self,
            scores=self.scores.part(texts),
            count_S=self.count_S[texts],
            begin=self.begin[w],
            stop=self.stop[w],
            first=np.where(self.first[w] < 0, -1, self.first[w] - factors),
            tokens=self.tokens[w],
            logprob=self.logprob[w],
            logprob_uncorrected=self.logprob_uncorrected[w],
            entropy=self.entropy[w],
            crossing={at - w.start: tokens for at, tokens in self.crossing.items() if w.start <= at < w.stop},
            unmarked=frozenset(at - w.start for at in self.unmarked if w.start <= at < w.stop),
        )

    @property
    def correction(self) -> str:
        """ "full" or "none"."""
        return "none" if self.rule is None else "full"

    @cached_property
    def offsets(self) -> Ints:
        """Text s has the words offsets[s] … offsets[s + 1] − 1."""
        return offsets(self.count_S)

    @cached_property
    def text_index(self) -> Ints:
        """The number of the text of each word."""
        return np.repeat(np.arange(len(self.count_S)), self.count_S)

    @property
    def word_index(self) -> Ints:
        """The number of each word in its text, from 0."""
        return ranges(np.zeros_like(self.count_S), self.count_S)

    @cached_property
    def words(self) -> list[str]:
        texts = [request.text or "" for request in self.scores.requests]
        places = zip(self.text_index.tolist(), self.begin.tolist(), self.stop.tolist(), strict=True)
        return [texts[s][begin:stop] for s, begin, stop in places]

    @property
    def surprisal_bits(self) -> Floats:
        """−log2 of the probability of each word."""
        return -self.logprob / _LN2

    @property
    def entropy_bits(self) -> Floats:
        """The entropy of the distribution at the place of the first token of each word, in bits."""
        return self.entropy / _LN2

    @property
    def boundary(self) -> list[str]:
        """Of each word: "clean"; "token crosses" if a token is part of it and of another word, whose factor counts for the
        word in which the token begins; or "unmarked" if it begins or ends where the rule of the correction does not allow it,
        so that the correction is left out there.
        """
        return [self._boundary(w) for w in range(len(self))]

    @cached_property
    def logprob_outside(self) -> Floats:
        """The sum of the factors of each text that belong to no word: white space at its end, and tokens between spans. S."""
        inside = np.zeros(len(self.scores.ids), bool)
        known = self.first >= 0
        inside[ranges(self.first[known], self.tokens[known])] = True
        outside = np.where(inside, 0.0, self.scores.logprobs)
        return np.array([math.fsum(outside[a:b].tolist()) for a, b in pairwise(self.scores.offsets.tolist())], np.float64)

    def previous_bits(self, distance: int) -> list[float | None]:
        """The surprisal of the word so many words before, in bits; None at the beginning of a text."""
        bits = none_if_nan(self.surprisal_bits)
        places = zip(range(len(bits)), self.word_index.tolist(), strict=True)
        return [bits[w - distance] if at >= distance else None for w, at in places]

    def __len__(self) -> int:
        return len(self.begin)

    def _item(self, w: int, /) -> Word:
        logprob = None if np.isnan(self.logprob[w]) else float(self.logprob[w])
        s = int(self.text_index[w])
        return Word(
            text_index=s,
            word_index=w - int(self.offsets[s]),
            word=self.words[w],
            begin=int(self.begin[w]),
            stop=int(self.stop[w]),
            tokens=int(self.tokens[w]),
            logprob=logprob,
            surprisal_bits=None if logprob is None else -logprob / _LN2,
            boundary=self._boundary(w),
        )

    def _boundary(self, w: int) -> str:
        return "token crosses" if w in self.crossing else "unmarked" if w in self.unmarked else "clean"

    def to_json(self) -> str:
        """A JSON array of the rows. Infinities are the strings "Infinity" and "-Infinity"."""
        return json_text(self.to_dicts())

    def plot(self, conditions: Any = None, items: Any = None) -> altair.TopLevelMixin:
        """An Altair chart of the surprisal of each word in bits: one line for each of the first 8 texts, or of the conditions.

        conditions: one label for each text. A line is then the mean over the texts of a condition, word by word, with the 95 %
            interval of the mean (t interval, for each word by itself) as a band. A condition with one text has no interval.
        items: one label for each text. With conditions, the texts of one item in one condition are averaged first, and the mean
            and its interval are over items. Without conditions, they name the lines.

        Words without a number are gaps. Raises InputError for labels that are missing or too few, and OutputError without the
        extra `plot`. `save_plot` writes a chart to a file.
        """
        return plotted(self, conditions=conditions, items=items)

    def __repr__(self) -> str:
        texts = count(len(self.count_S), "text")
        return f"Words({count(len(self), 'word')} of {texts}, {self.unit}, correction {self.correction})"


def word_rows(words: Words) -> dict[str, Any]:
    """One row per word, with the surprisals of the words before after its own."""
    import pyarrow

    of_text = Source(Row.SEQUENCE_OF_TOKEN, words.scores, take=words.text_index)
    columns = arrays([Source(Row.WORD, words), of_text], index=words.text_index)
    rows = {}
    for name, values in columns.items():
        rows[name] = values
        if name == "surprisal_bits":
            for distance in range(1, words.previous + 1):
                rows[f"{name}_prev{distance}"] = pyarrow.array(words.previous_bits(distance), pyarrow.float64())
    return rows
