"""Scores of many texts with numbers that say how expected the texts are to the model: Min-K%, Min-K%++, Fast-DetectGPT, zlib.

Shapes: S sequences, T tokens.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from chainrule._types import Floats, Ints
from chainrule.errors import InputError
from chainrule.results.batch import Scores, sequence_rows, token_rows
from chainrule.results.columns import Row
from chainrule.results.detection import K, checked_share, fast_detect, lowest, text_of, z_scores, zlib_ratio
from chainrule.results.items import Items
from chainrule.results.provenance import FromScores
from chainrule.results.rows import Source, arrays, record, records
from chainrule.results.score import Score
from chainrule.results.shown import Shown
from chainrule.results.tabular import Tabular
from chainrule.results.units import count


def _sequences(result: Detectors) -> dict[str, Any]:
    sources = [*sequence_rows(result.scores), Source(Row.DETECTORS, result)]
    return arrays(sources, index=np.arange(len(result)))


def _tokens(result: Detectors) -> dict[str, Any]:
    sources = [*token_rows(result.scores), Source(Row.DETECTORS_OF_TOKEN, result)]
    return arrays(sources, index=np.repeat(np.arange(len(result)), result.scores.tokens))


@dataclass(frozen=True)
class Detected:
    """A score with its numbers, None for a number that is not defined: see `Detectors`."""

    score: Score
    k: float
    min_k_nats: float
    min_k_pp: float | None
    fast_detect: float | None
    zlib_ratio: float | None
    tokens_without_variance: int

    def summary(self) -> dict[str, Any]:
        """The columns of the sequence and of its numbers, in plain Python."""
        return self.score.summary() | record(Row.DETECTORS, self)

    def to_dict(self) -> dict[str, Any]:
        """The summary, and every factor with the mean and variance of log Pr and its z, for JSON. Infinities are floats."""
        contents, more = self.score.to_dict(), records([Row.DETECTORS_OF_TOKEN], self)
        factors = [factor | own for factor, own in zip(contents.pop("factors"), more, strict=True)]
        return contents | record(Row.DETECTORS, self) | {"factors": factors}


@dataclass(frozen=True, eq=False)
class Detectors(Items[Detected], FromScores, Shown, Tabular):
    """Numbers that say how expected each of S texts is to the model, from the factors of its score alone.

    Item i has the numbers of sequence i. In the arrays NaN marks a number that is not defined; in tables it is null. These are
    scores and no verdicts: see docs/detectors.md.

    scores: the result of `score_batch` in one order.
    k: the share of the tokens of `min_k_nats` and `min_k_pp`: int(n · k) of n tokens, at least one.
    Raises InputError unless 0 < k ≤ 1.
    """

    scores: Scores
    k: float = field(default=K, kw_only=True)

    rows_per = {"sequence": _sequences, "token": _tokens}  # noqa: RUF012 (never written to)

    def __post_init__(self) -> None:
        if not isinstance(self.scores, Scores):
            raise InputError(f"Detectors takes the Scores of score_batch in one order, not {type(self.scores).__name__}")
        checked_share(self.k)

    @cached_property
    def z_scores(self) -> Floats:
        """T: (log Pr − μ) / σ of each token; NaN if σ = 0, −inf for impossible tokens."""
        return z_scores(self.scores.logprobs, self.scores.entropies, self.scores.logprob_variances)

    @cached_property
    def min_k_nats(self) -> Floats:
        """Min-K% Prob: the mean log Pr of the share k of the tokens that is least probable, in nats."""
        return self._each(lambda s, tokens: lowest(self.scores.logprobs[tokens], self.k))

    @cached_property
    def min_k_pp(self) -> Floats:
        """Min-K%++: the mean of the lowest `z_scores`, as many as in `min_k_nats`; NaN if no token has one."""
        return self._each(lambda s, tokens: lowest(self.z_scores[tokens], self.k))

    @cached_property
    def fast_detect(self) -> Floats:
        """Fast-DetectGPT: (Σ log Pr − Σ μ) / √(Σ σ²); NaN if σ = 0 for all tokens."""
        own = self.scores.logprobs, self.scores.entropies, self.scores.logprob_variances
        return self._each(lambda s, tokens: fast_detect(*(array[tokens] for array in own)))

    @cached_property
    def zlib_ratio(self) -> Floats:
        """−mean log Pr / bytes of the text compressed by zlib; NaN for token ids, embeddings and pairs."""
        return self._each(lambda s, tokens: zlib_ratio(self.scores.logprobs[tokens], text_of(self.scores.requests[s])))

    @cached_property
    def tokens_without_variance(self) -> Ints:
        """The number of tokens whose distribution has no variance, so that they have no z."""
        without = np.concatenate([[0], np.cumsum(self.scores.logprob_variances == 0)])
        return np.diff(without[self.scores.offsets])

    def _each(self, number: Callable[[int, slice], float]) -> Floats:
        """The number of each sequence, from its index and the slice of its tokens."""
        bounds = enumerate(pairwise(self.scores.offsets.tolist()))
        return np.array([number(s, slice(first, stop)) for s, (first, stop) in bounds], np.float64)

    def __len__(self) -> int:
        return len(self.scores)

    def part(self, which: slice) -> Detectors:
        """Some consecutive sequences."""
        return Detectors(self.scores.part(which), k=self.k)

    def _item(self, i: int, /) -> Detected:
        z, discrepancy, ratio = (
            None if math.isnan(values[i]) else float(values[i]) for values in (self.min_k_pp, self.fast_detect, self.zlib_ratio)
        )
        without = int(self.tokens_without_variance[i])
        return Detected(self.scores[i], self.k, float(self.min_k_nats[i]), z, discrepancy, ratio, without)

    def __repr__(self) -> str:
        return f"Detectors({count(len(self), 'sequence')}, k={self.k:g}: scores, not verdicts)"
