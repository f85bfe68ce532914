"""The factors of a score computed again: with alternatives, from embeddings, and with the logits that they are read from.

A score does not hold the call that made it. Its contexts say which windows it was computed in.

Shapes: T factors of a score, L positions of its sequence, S scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from chainrule._types import Floats, Ints
from chainrule.engine.head.opened import Opened
from chainrule.engine.plan import plan
from chainrule.engine.predictors.any_order import AnyOrderPredictor
from chainrule.engine.question import Item, Progress, Settings
from chainrule.forest.permutations import OrderedSequence
from chainrule.ops.sealed import sealed
from chainrule.pages.language import Language, is_causal
from chainrule.results.score import Score
from chainrule.statistics import Statistics

TOP = 10  # alternatives of a factor
TOP_LOGITS = 5

NO_LOGITS = (
    "In this order a factor is a sum over all texts, or is read with later tokens hidden, so it has no row of logits of its "
    "own. Score the text from left to right with a causal model."
)


def sequence_of(score: Score) -> Ints:
    """The tokens at all L positions: the context, then the text with its end symbol."""
    return np.concatenate([score.request.context_ids, score.request.ids])


def positions_of(score: Score) -> Ints:
    """The position of each factor in the whole sequence, in the order of the text: T."""
    return len(score.request.context_ids) + score.places


def columns_of(score: Score) -> Ints:
    """The factors in the order of prediction, as their numbers in the order of the text: T."""
    return np.arange(len(score)) if score.ordering is None else np.argsort(score.ordering.steps)


def reads_left_to_right(score: Score) -> bool:
    """Whether the tokens became known in the order of the text."""
    return score.ordering is None or score.ordering.left_to_right


def windows_of(score: Score, first: int = 0) -> list[Item]:
    """The windows of a score that was computed left to right, for its factors from number `first` on."""
    ids, position_T = sequence_of(score), positions_of(score)
    begin_T = position_T - (score.contexts - (score.start.id is not None))
    bounds = [0, *(np.flatnonzero(np.diff(begin_T)) + 1).tolist(), len(score)]
    items = []
    for a, b in pairwise(bounds):
        if b > first:
            begin, at, stop = int(begin_T[a]), int(position_T[max(a, first)]), int(position_T[b - 1]) + 1
            own = None if score.request.embeddings is None else score.request.embeddings[begin:stop]
            items.append(Item(ids[begin:stop], at - begin, score.start.id, own))
    return items


def with_top(lm: Language, score: Score, progress: Progress | None = None) -> Score:
    """The score with alternatives: `TOP` of them, if it has fewer and its factors are computed again with the same bits."""
    top = min(TOP, lm.model.head.size)
    if score.top_ids.shape[1] >= top:
        return score
    statistics = _statistics(lm, score, Settings(top=top, temperature=score.temperature, progress=progress))
    same = np.array_equal(statistics.logprobs, score.logprobs)
    return replace(score, statistics=replace(statistics, set_logprobs=score.statistics.set_logprobs)) if same else score


def _statistics(lm: Language, score: Score, settings: Settings) -> Statistics:
    """The statistics of the factors, in the order of the text."""
    if score.ordering is None or (is_causal(lm) and score.ordering.left_to_right):
        return lm.predictor.factors(windows_of(score), settings).answer.statistics
    return lm.predictor.any_order.factors_in_order([_ordered(score)], settings).answer.statistics


def _ordered(score: Score) -> OrderedSequence:
    """The sequence of a score with an ordering."""
    ordering: Any = score.ordering
    return OrderedSequence(sequence_of(score), ordering.order, ordering.given, score.start.id)


@sealed
def by_embeddings(lm: Language, score: Score, progress: Progress | None = None) -> Floats | None:
    """log Pr of the factors with embeddings in place of the tokens, T; None if the model takes none, or in another order."""
    if not is_causal(lm) or lm.model.by_ids or not reads_left_to_right(score):
        return None
    items = [
        item
        if item.embeddings is not None
        else replace(item, embeddings=lm.model.embed(torch.from_numpy(item.ids).to(lm.model.device)))
        for item in windows_of(score)
    ]
    return lm.predictor.factors(items, Settings(temperature=score.temperature, progress=progress)).answer.logprobs


def why_closed(lm: Language, score: Score) -> str:
    """Why the factors of this score have no logits of their own, in one sentence; "" if they have."""
    if not lm.predictor.accepts.engine:
        return NO_LOGITS
    return "" if isinstance(lm.predictor, AnyOrderPredictor) or reads_left_to_right(score) else NO_LOGITS


def opened(lm: Language, scores: Sequence[Score], firsts: Sequence[int], progress: Progress | None = None) -> list[Opened]:
    """The factors of each score from number `firsts[s]` on, in the order of prediction, with the logits they are read from.

    The scores are those of one temperature, for which `why_closed` gives "".
    """
    if not scores:
        return []
    predictor, count_S = lm.predictor, [len(score) - first for score, first in zip(scores, firsts, strict=True)]
    if isinstance(predictor, AnyOrderPredictor):
        question, all_T = predictor.question([_ordered(score) for score in scores])
        stops = np.cumsum([len(score) for score in scores]).tolist()
        node_T = np.concatenate([all_T[stop - count : stop] for stop, count in zip(stops, count_S, strict=True)])
    else:
        items = [item for both in zip(scores, firsts, strict=True) for item in windows_of(*both)]
        job = plan(items, lm.model.max_rows, None, None)
        question, node_T = job.question, job.node_T
    found = lm.engine.opened(question, top=TOP_LOGITS, temperature=scores[0].temperature, progress=progress)[node_T]
    stops = np.cumsum(count_S).tolist()
    return [found[stop - count : stop] for stop, count in zip(stops, count_S, strict=True)]
