"""Pseudo-log-likelihood: Σ log Pr(x_i | all other tokens). A score of a text, not a probability.

    PLL(x) = Σ log Pr(x_i | x_0 … x_i−1, x_i+1 …)                                 (Salazar et al. 2020)

It does not follow from the chain rule: each token is predicted from tokens that are predicted from it. Two coins that always
land alike have PLL 0 for both "heads heads" and "tails tails", so exp(PLL) sums to 2 over all texts. `within_words` also hides
the tokens to the right within the same word, because the rest of a word makes its tokens too easy to predict (Kauf & Ivanova
2023).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from chainrule._types import Floats
from chainrule.results.columns import Row
from chainrule.results.rows import record, records
from chainrule.results.scored_text import ScoredText
from chainrule.results.shown import as_text
from chainrule.results.units import count

NO_PROBABILITY = "a score, not a probability: its exp does not sum to 1 over all texts"


@dataclass(frozen=True, eq=False)
class PseudoScore(ScoredText):
    """The pseudo-log-likelihood of one text with its terms. It is a score, not a probability."""

    term_logprobs: Floats  # log Pr(ids[i] | all other tokens, context included), nats
    within_words: bool  # whether tokens to the right within the same word were also hidden

    @cached_property
    def pll_nats(self) -> float:
        """The sum of the terms in float64, in nats; −inf if a token is impossible given the others."""
        return math.fsum(self.term_logprobs.tolist())

    def to_dict(self) -> dict[str, Any]:
        """The summary and every term, for JSON. Infinities are floats."""
        return self.summary() | self.provenance() | {"note": NO_PROBABILITY, "terms": records([Row.TERM], self)}

    def summary(self) -> dict[str, Any]:
        """The columns of a pseudo-log-likelihood, in plain Python."""
        return record(Row.PSEUDO, self)

    def describe(self) -> str:
        """One line of text."""
        hidden = ", tokens to the right in the same word hidden" if self.within_words else ""
        return f"pseudo-log-likelihood = {self.pll_nats:.6f} nats, {count(len(self), 'token')}{hidden} ({NO_PROBABILITY})"

    def __repr__(self) -> str:
        return f"PseudoScore({self.describe()}, {self.label})"

    def __str__(self) -> str:
        return as_text(self)
