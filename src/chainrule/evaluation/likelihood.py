"""The numbers of lm-evaluation-harness: the log-likelihood of a part, and whether greedy decoding would generate it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from chainrule.engine.question import Progress
from chainrule.evaluation.convention import Convention, Part
from chainrule.language import LanguageModel
from chainrule.results import Score


def log_likelihoods(lm: LanguageModel, parts: Sequence[Part], progress: Progress | None = None) -> list[tuple[float, bool]]:
    """(log Pr in nats, whether every token is the most probable one) of each part. All parts are one forest.

    Of equally probable tokens, greedy decoding chooses the one with the smallest id.
    """
    if not parts:
        return []
    scores = lm.score_batch(
        [part.ids for part in parts],
        context=[part.context_ids for part in parts],
        start="given",
        window=False,
        top=min(2, lm.model.head.size),
        progress=progress,
    )
    return [(score.logprob, _is_greedy(lm, part, score)) for part, score in zip(parts, scores, strict=True)]


def rolling_log_likelihoods(
    lm: LanguageModel, convention: Convention, texts: Sequence[str], progress: Progress | None = None
) -> list[float]:
    """log Pr of each text, in nats, in the harness's windows: 0 for a text without tokens."""
    windows = [convention.windows(text) for text in texts]
    numbers = iter(log_likelihoods(lm, [part for parts in windows for part in parts], progress))
    return [math.fsum(next(numbers)[0] for _ in parts) for parts in windows]


def windowed_log_likelihoods(
    lm: LanguageModel, convention: Convention, texts: Sequence[str], progress: Progress | None = None
) -> list[float]:
    """log Pr of each text, in nats, as `lm.score` gives it: windows that overlap and begin with the start symbol."""
    ids = convention.encode(texts, start=False)
    scored = [text for text in texts if ids[text]]
    if not scored:
        return [0.0] * len(texts)
    chosen = convention.start  # None: that of the model
    start = None if chosen is None else chosen.id if chosen.id is not None else "given"
    scores = lm.score_batch([ids[text] for text in scored], start=start, window=convention.max_length, progress=progress)
    numbers = iter(scores)
    return [next(numbers).logprob if ids[text] else 0.0 for text in texts]


def _is_greedy(lm: LanguageModel, part: Part, score: Score) -> bool:
    if (score.ranks != 1).any():
        return False
    tied = np.flatnonzero((score.top_logprobs[:, :1] == score.top_logprobs[:, 1:]).any(1))
    return all(_is_first(lm, part, int(position)) for position in tied)


def _is_first(lm: LanguageModel, part: Part, position: int) -> bool:
    """Whether no token with a smaller id is as probable as the one at this position, which none exceeds."""
    context = np.concatenate([part.context_ids, part.ids[:position]])
    logprob_V = lm.conditional(context, start="given").logprobs
    id = int(part.ids[position])
    return bool((logprob_V[:id] < logprob_V[id]).all())
