"""Pseudo-log-likelihoods of requests, by a predictor that takes any conditional."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule._types import Ints
from chainrule.engine.predictors.base import Cloze, OrderedPredictor
from chainrule.engine.question import Progress, Settings
from chainrule.errors import InputError
from chainrule.forest.forest import offsets
from chainrule.results.pseudo import PseudoScore
from chainrule.text.base import TokenizerLike
from chainrule.text.requests import Request
from chainrule.text.start_end import Start


def pseudo_scores(
    predictor: OrderedPredictor,
    tokenizer: TokenizerLike | None,
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


def _words(tokenizer: TokenizerLike | None, request: Request, item: int) -> Ints:
    """The word of every token. Raises InputError for token ids, which nobody can cut into words."""
    if tokenizer is None or request.text is None or request.segments:
        raise InputError("within_words needs a text, whose words the tokenizer knows, and not token ids or a pair", item)
    return tokenizer.words(request.text, request.ids)
