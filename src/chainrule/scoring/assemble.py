"""From requests, through a predictor, to scores."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import torch

from chainrule._types import Ints
from chainrule._warnings import outside
from chainrule.engine.execution import Begun
from chainrule.engine.predictors.base import Predictor
from chainrule.engine.question import Item, Route, SequenceFactors, Settings
from chainrule.errors import InputError
from chainrule.forest.forest import offsets
from chainrule.forest.permutations import resolve
from chainrule.results.batch import Scores
from chainrule.results.ordering import Ordering
from chainrule.text.base import TokenizerLike, token_formatter
from chainrule.text.requests import Request
from chainrule.text.start_end import Start

T = TypeVar("T")


def score_requests(
    predictor: Predictor,
    tokenizer: TokenizerLike | None,
    requests: Sequence[Request],
    start: Start,
    end: int | None,
    settings: Settings,
    *,
    order: Any = None,
    seed: int = 0,
    begun: Begun | None = None,
) -> Scores:
    """Score the requests, in their order; in several orders, each request once for every order, one request after another.

    order: see `forest.permutations.resolve`; None: the predictor's own. begun: see `Predictor.factors`.
    Raises InputError for what has no factor, ModelError where there is NaN.
    """
    settings.check(predictor.model.head.size)
    starts = [
        start if r.start_id is None else Start("cls", r.start_id, token_formatter(tokenizer)(r.start_id)) for r in requests
    ]
    if end is not None:
        requests = [_with_end(request, end) for request in requests]
    for request, own in zip(requests, starts, strict=True):
        _warn_of_start(request, own)
    items, count = [_item(request, own) for request, own in zip(requests, starts, strict=True)], 1
    if order is not None:
        orders = [_orders(request, order, seed, item if len(requests) > 1 else None) for item, request in enumerate(requests)]
        count = len(orders[0]) if orders else 1
        items = [replace(item, order=one) for item, own in zip(items, orders, strict=True) for one in own]
    try:
        factors = predictor.factors(items, settings, begun=begun)
    except InputError as error:
        raise InputError(error.reason, None if error.item is None else error.item // count) from None
    return scores_of(predictor, tokenizer, _repeated(requests, count), _repeated(starts, count), factors, end=end)


def scores_of(
    predictor: Predictor,
    tokenizer: TokenizerLike | None,
    requests: list[Request],
    starts: list[Start],
    factors: SequenceFactors,
    *,
    end: int | None = None,
) -> Scores:
    """The factors of the requests, as `Scores`."""
    logprobs, ranks, entropies, top_ids, top_logprobs = factors.answer.columns
    return Scores(
        requests=requests,
        starts=starts,
        end=end,
        offsets=offsets(factors.count_S),
        ids=factors.ids,
        logprobs=logprobs,
        contexts=factors.contexts,
        ranks=ranks,
        entropies=entropies,
        top_ids=top_ids,
        top_logprobs=top_logprobs,
        windows=factors.windows_S,
        tokenizer=tokenizer,
        model=predictor.model.name,
        invariant=factors.invariance,
        rows=factors.answer.rows,
        distinct_contexts=factors.answer.contexts,
        orderings=[ordering_of(route) for route in factors.routes],
    )


def ordering_of(route: Route | None) -> Ordering | None:
    """The order of prediction, as a result holds it."""
    if route is None:
        return None
    ordered = route.ordered
    return Ordering(ordered.order_T, ordered.given_G, len(ordered.ids_L), route.length_given, route.how, route.support)


def _with_end(request: Request, end: int) -> Request:
    """The request with the end symbol, which is predicted and never fed: any embedding does for it."""
    embeddings = request.embeddings
    if embeddings is not None:
        embeddings = torch.cat([embeddings, embeddings.new_zeros(1, embeddings.shape[1])])
    return replace(request, ids=np.concatenate((request.ids, np.array([end], np.int64))), embeddings=embeddings)


def _warn_of_start(request: Request, start: Start) -> None:
    first = request.context_ids if len(request.context_ids) else request.ids
    if start.id is not None and first[0] == start.id:
        warnings.warn(
            f"the tokens begin with the start symbol {start.token} (id {start.id}) themselves, so it stands there twice; "
            "leave it out, or take the first token as given with start='given'",
            stacklevel=outside(),
        )


def _item(request: Request, start: Start) -> Item:
    ids = np.concatenate((request.context_ids, request.ids)) if len(request.context_ids) else request.ids
    return Item(ids, len(request.context_ids), start.id, request.embeddings)


def _repeated(items: Sequence[T], count: int) -> list[T]:
    return [item for item in items for _ in range(count)]


def _orders(request: Request, order: Any, seed: int, item: int | None) -> list[Ints]:
    """The orders asked for, of the tokens of one request. Raises InputError, naming the item."""
    try:
        return resolve(order, len(request.ids), int(seed))
    except InputError as error:
        raise InputError(error.reason, item) from None
