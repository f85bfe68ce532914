"""Pseudo-log-likelihoods of requests, by a predictor of arbitrary conditionals."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule._types import Ints
from chainrule.engine.predictors.base import Cloze, OrderedPredictor
from chainrule.engine.question import Settings
from chainrule.errors import InputError
from chainrule.forest.forest import offsets
from chainrule.models.identity import identity_of
from chainrule.results.pseudo import PseudoScore
from chainrule.text.base import TokenizerLike
from chainrule.text.requests import Request
from chainrule.text.start_end import Start


def pseudo_scores(
    predictor: OrderedPredictor,
    tokenizer: TokenizerLike | None,
    requests: list[Request],
    start: Start,
    settings: Settings,
    *,
    within_words: bool = False,
) -> list[PseudoScore]:
    """The pseudo-log-likelihood of every request, in input order. Each distinct term is computed once.

    Raises InputError, with the item, for a request that cannot be scored, and ModelError for NaN.
    """
    words = [_words(tokenizer, request, item) if within_words else None for item, request in enumerate(requests)]
    terms = _Terms(requests, words, start.id)
    token_N = np.concatenate([np.zeros(0, np.int64), *(request.ids for request in requests)])
    try:
        answer = predictor.answer(terms, token_N, settings)
    except InputError as error:
        raise InputError(error.reason, None if error.item is None else terms.item(error.item)) from None
    bounds, identity = terms.offset_S1, identity_of(predictor.model)
    return [
        PseudoScore(
            request=request,
            ids=request.ids,
            tokenizer=tokenizer,
            identity=identity,
            term_logprobs=answer.logprobs[bounds[s] : bounds[s + 1]],
            within_words=within_words,
        )
        for s, request in enumerate(requests)
    ]


class _Terms(Sequence[Cloze]):
    """The conditionals of all tokens of all requests. Each is constructed when it is accessed."""

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
        request, word_T, t = self.requests[s], self.words[s], n - self.offset_S1[s]
        position = len(request.context_ids) + t
        visible_L = np.ones(len(request.context_ids) + len(request.ids), bool)
        visible_L[position] = False
        if word_T is not None:
            visible_L[position:] &= word_T[t:] != word_T[t]
        ids_L = np.concatenate([request.context_ids, request.ids])
        return Cloze(ids_L, np.flatnonzero(visible_L), position, self.start_id)


def _words(tokenizer: TokenizerLike | None, request: Request, item: int) -> Ints:
    """The number of the word of every token. Raises InputError for token ids and pairs, whose words are unknown."""
    if tokenizer is None or request.text is None or request.segments:
        raise InputError("within_words needs a text, not token ids or a pair, because words are found in the text", item)
    return tokenizer.words(request.text, request.ids)
