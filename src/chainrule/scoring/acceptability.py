"""Measures of acceptability: the scores, the unigram distribution, and the same tokens without their contexts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from chainrule._types import Floats
from chainrule.engine.question import Settings
from chainrule.errors import InputError
from chainrule.results.acceptability import Acceptability
from chainrule.results.batch import Scores
from chainrule.scoring.scorer import Scorer
from chainrule.scoring.unigram import Unigram
from chainrule.text.reading import Reading

_NONE = np.zeros(0, np.int64)


def score_acceptability(
    scorer: Scorer,
    texts: list[Any],
    contexts: list[Any],
    unigram: Unigram | None,
    settings: Settings,
    reading: Reading,
    *,
    start: str | int | None,
    end: bool | int | None,
) -> Acceptability:
    """Score texts, and once more those with a context without it. unigram: None: no measures of that kind.

    Raises InputError, with the number of the text, for a text that cannot be scored.
    """
    requests = scorer.requests(texts, contexts, reading)
    with_context = [s for s, request in enumerate(requests) if len(request.context_ids)]
    if with_context and scorer.start(start).id is None:
        raise InputError(
            "PMI compares a text with and without its context, and without a start symbol its first token has no factor alone: "
            "choose a start symbol with start=, or leave the contexts out"
        )
    alone = [replace(requests[s], context_ids=_NONE, context=None, boundary=None, context_special=None) for s in with_context]
    scores = scorer.score(requests, settings, start=start, end=end)
    logprob_alone = None
    if with_context:
        logprob_alone = np.full(len(requests), np.nan)
        logprob_alone[with_context] = scorer.score(alone, settings, start=start, end=end).logprob
    return Acceptability(scores, None if unigram is None else _unigram(scores, unigram), logprob_alone)


def _unigram(scores: Scores, unigram: Unigram) -> Floats:
    """log Pr of the tokens of each sequence, one by one: S."""
    sums = []
    for s, (first, stop) in enumerate(zip(scores.offsets[:-1], scores.offsets[1:], strict=True)):
        try:
            sums.append(unigram.logprob(scores.ids[first:stop]))
        except InputError as error:
            raise InputError(error.reason, s) from None
    return np.array(sums, np.float64)
