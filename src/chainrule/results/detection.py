"""Scores of how expected a text is to a model, from its factors and the entropy and variance of log Pr of their distributions.

    min_k        the mean of the k lowest log Pr                    Min-K% Prob (Shi et al. 2024)
    min_k_pp     the mean of the k lowest z = (log Pr − μ) / σ      Min-K%++ (Zhang et al. 2025)
    fast_detect  (Σ log Pr − Σ μ) / √(Σ σ²)                         Fast-DetectGPT, analytic (Bao et al. 2024)
    zlib_ratio   (−mean of log Pr) / bytes of the text in zlib      Carlini et al. (2021)

μ = Σ_v Pr(v) log Pr(v) is −entropy, and σ² the variance of log Pr, both under the distribution of the token. k is a share of
the tokens: int(n · k) of n tokens, as in the authors' code, but at least one.

A distribution with σ = 0 (one token is certain, or all possible ones are equally probable) has no z. An impossible token has
z = −inf in any distribution.
"""

from __future__ import annotations

import math
import zlib
from typing import TYPE_CHECKING

import numpy as np

from chainrule._types import Floats
from chainrule.errors import InputError
from chainrule.statistics import WithStatistics

if TYPE_CHECKING:
    from chainrule.text.requests import Request

K = 0.2  # the share of the tokens that the authors recommend


def checked_share(k: float) -> float:
    """k. Raises InputError unless it is a number with 0 < k ≤ 1."""
    if isinstance(k, bool) or not isinstance(k, int | float) or not 0 < k <= 1:
        raise InputError(f"k is a share of the tokens, more than 0 and at most 1, not {k!r}")
    return float(k)


def z_scores(logprob_T: Floats, entropy_T: Floats, variance_T: Floats) -> Floats:
    """z = (log Pr − μ) / σ of each token; NaN if σ = 0, −inf for impossible tokens."""
    deviation_T = np.sqrt(np.where(variance_T > 0, variance_T, np.nan))
    return np.where(logprob_T == -np.inf, -np.inf, (logprob_T + entropy_T) / deviation_T)


def lowest(value_T: Floats, k: float) -> float:
    """The mean of the int(T · k) lowest values, at least one, without NaN; NaN if there are none."""
    values = [value for value in np.sort(value_T)[: max(1, int(len(value_T) * k))].tolist() if value == value]  # NaN is last
    return math.fsum(values) / len(values) if values else math.nan


def fast_detect(logprob_T: Floats, entropy_T: Floats, variance_T: Floats) -> float:
    """(Σ log Pr − Σ μ) / √(Σ σ²); −inf for an impossible text, else NaN if all σ are 0."""
    above, variance = math.fsum([*logprob_T.tolist(), *entropy_T.tolist()]), math.fsum(variance_T.tolist())
    return above if above == -math.inf else above / math.sqrt(variance) if variance > 0 else math.nan


def zlib_ratio(logprob_T: Floats, text: str | None) -> float:
    """(−mean of log Pr) / bytes of the text in UTF-8, compressed by zlib at its default level; NaN without a text."""
    if text is None or not len(logprob_T):
        return math.nan
    return -math.fsum(logprob_T.tolist()) / len(logprob_T) / len(zlib.compress(text.encode()))


def text_of(request: Request) -> str | None:
    """The text that `zlib_ratio` compresses: the one scored, without its context; None for token ids, embeddings and pairs."""
    return None if request.segments else request.text


class WithDetection(WithStatistics):
    """A score with numbers that say how expected its text is to the model. They are not verdicts: see docs/detectors.md."""

    if TYPE_CHECKING:

        @property
        def request(self) -> Request: ...

    @property
    def z_scores(self) -> Floats:
        """(log Pr − μ) / σ of each token, μ and σ² the mean and variance of log Pr under its distribution; NaN if σ = 0."""
        return z_scores(self.logprobs, self.entropies, self.logprob_variances)

    def min_k(self, k: float = K) -> float:
        """Min-K% Prob: the mean log Pr of the share `k` of the tokens that is least probable, in nats.

        Of n tokens these are int(n · k), at least one. Raises InputError unless 0 < k ≤ 1.
        """
        return lowest(self.logprobs, checked_share(k))

    def min_k_pp(self, k: float = K) -> float | None:
        """Min-K%++: the mean of the lowest `z_scores`, as many as in `min_k`; None if no token has one (σ = 0).

        Raises InputError unless 0 < k ≤ 1.
        """
        return _number(lowest(self.z_scores, checked_share(k)))

    def fast_detect(self) -> float | None:
        """Fast-DetectGPT: (Σ log Pr − Σ μ) / √(Σ σ²), with this model in both roles; None if σ = 0 for all tokens."""
        return _number(fast_detect(self.logprobs, self.entropies, self.logprob_variances))

    def zlib_ratio(self) -> float | None:
        """−mean log Pr (nats per token) / bytes of the text compressed by zlib; None for token ids, embeddings and pairs."""
        return _number(zlib_ratio(self.logprobs, text_of(self.request)))


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
