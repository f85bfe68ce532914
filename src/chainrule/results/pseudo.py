"""Pseudo-log-likelihood: Σ log Pr(x_i | all other tokens). A score of texts, and no probability.

    PLL(x) = Σ log Pr(x_i | x_0 … x_i−1, x_i+1 …)                                 (Salazar et al. 2020)

No chain rule stands behind it: each token is predicted from those that are predicted from it. Two coins that always fall
alike have PLL 0 for both "heads heads" and "tails tails", so exp(PLL) sums to 2 over all texts. With `within_words` the tokens
to the right within the same word are hidden as well, so that a word of several tokens does not give itself away (Kauf &
Ivanova 2023).
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from chainrule._types import Floats, Ints
from chainrule.engine.predictors.base import Cloze, OrderedPredictor
from chainrule.engine.question import Progress, Settings
from chainrule.errors import InputError
from chainrule.forest.forest import offsets
from chainrule.text.base import Tokenizes, naming
from chainrule.text.requests import Request
from chainrule.text.start_end import Start

NO_PROBABILITY = "a score, and no probability: its exp does not sum to 1 over all texts"


@dataclass(frozen=True, eq=False)
class PseudoScore:
    """The pseudo-log-likelihood of one text, and every term of it. It is a score and no probability."""

    request: Request
    ids: Ints
    terms: Floats  # log Pr(ids[i] | all other tokens, context included), nats
    within_words: bool  # whether tokens to the right within the same word were hidden as well
    tokenizer: Tokenizes | None
    model: str

    @cached_property
    def pll(self) -> float:
        """The sum of the terms in float64, in nats; −inf where a token is impossible among the others."""
        return math.fsum(self.terms.tolist())

    @property
    def text(self) -> str | None:
        return self.request.text

    @property
    def context(self) -> str | None:
        return self.request.context

    @cached_property
    def tokens(self) -> list[str]:
        """The tokens to read; a part of a character is written as bytes (\\xe2)."""
        return list(map(naming(self.tokenizer), self.ids.tolist()))

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON takes it (infinities stay floats)."""
        each = zip(self.tokens, self.ids.tolist(), self.terms.tolist(), strict=True)
        return self.summary() | {
            "note": NO_PROBABILITY,
            "terms": [{"token": token, "id": id, "term": term} for token, id, term in each],
        }

    def summary(self) -> dict[str, Any]:
        """The same without its terms."""
        return {
            "text": self.text,
            "context_text": self.context,
            "pll": self.pll,
            "tokens": len(self),
            "pll_per_token": self.pll / len(self),
            "within_words": self.within_words,
            "special": self.request.special,
            "context_special": self.request.context_special,
            "kind": "pseudo-log-likelihood",
            "model": self.model,
        }

    def describe(self) -> str:
        """One line for people."""
        hidden = ", tokens to the right in the same word hidden" if self.within_words else ""
        return (
            f"pseudo-log-likelihood = {self.pll:.6f} nats, {len(self)} token{'s' * (len(self) != 1)}{hidden} ({NO_PROBABILITY})"
        )

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        shown = repr(self.text) if self.text is not None else f"{len(self)} token ids"
        return f"PseudoScore({self.describe()}, {shown if len(shown) < 60 else shown[:57] + '...'})"

    def __str__(self) -> str:
        wide = max(len(repr(token)) for token in self.tokens)
        lines = [f"{token!r:<{wide}}  {term:>12.6f}" for token, term in zip(self.tokens, self.terms.tolist(), strict=True)]
        return "\n".join([*lines, self.describe()])

    def __rich__(self) -> Any:
        from chainrule.display.views import pseudo_panel

        return pseudo_panel(self)


def pseudo_scores(
    predictor: OrderedPredictor,
    tokenizer: Tokenizes | None,
    requests: list[Request],
    start: Start,
    *,
    within_words: bool = False,
    rows: int | None = None,
    progress: Progress | None = None,
) -> list[PseudoScore]:
    """The pseudo-log-likelihood of every request, in their order; each distinct term is computed once.

    Raises InputError, with the item, for what cannot be scored, and ModelError where there is NaN.
    """
    words = [_words(tokenizer, request, item) if within_words else None for item, request in enumerate(requests)]
    terms = _Terms(requests, words, start.id)
    token_N = np.concatenate([np.zeros(0, np.int64), *(request.ids for request in requests)])
    try:
        answer = predictor.answer(terms, token_N, Settings(rows=rows, progress=progress))
    except InputError as error:
        raise InputError(error.reason, None if error.item is None else terms.item(error.item)) from None
    bounds = terms.offset_S1
    return [
        PseudoScore(
            request, request.ids, answer.logprob_N[bounds[s] : bounds[s + 1]], within_words, tokenizer, predictor.model.name
        )
        for s, request in enumerate(requests)
    ]


class _Terms(Sequence[Cloze]):
    """The conditionals of all tokens of all requests; each is made when it is asked for."""

    def __init__(self, requests: list[Request], words: list[Ints | None], start_id: int | None) -> None:
        self.requests, self.words, self.start_id = requests, words, start_id
        self.offset_S1 = offsets([len(request.ids) for request in requests]).tolist()

    def item(self, n: int) -> int:
        """The request that term n belongs to."""
        return bisect_right(self.offset_S1, n) - 1

    def __len__(self) -> int:
        return self.offset_S1[-1]

    def __getitem__(self, n: Any) -> Any:
        if not 0 <= n < len(self):
            raise IndexError(n)
        s = self.item(n)
        request, word_T, at = self.requests[s], self.words[s], n - self.offset_S1[s]
        before = len(request.context_ids)
        seen_L = np.ones(before + len(request.ids), bool)
        seen_L[before + at] = False
        if word_T is not None:
            seen_L[before + at :] &= word_T[at:] != word_T[at]
        ids_L = np.concatenate([request.context_ids, request.ids])
        return Cloze(ids_L, np.flatnonzero(seen_L), before + at, self.start_id)


def _words(tokenizer: Tokenizes | None, request: Request, item: int) -> Ints:
    """The word of every token. Raises InputError for token ids, which nobody can cut into words."""
    if tokenizer is None or request.text is None or request.segments:
        raise InputError("within_words needs a text, whose words the tokenizer knows, and not token ids or a pair", item)
    return tokenizer.words(request.text, request.ids)
