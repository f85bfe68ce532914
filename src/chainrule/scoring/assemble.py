"""Scores of requests, computed by a predictor."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import torch

from chainrule._types import Ints
from chainrule._warnings import outside
from chainrule.engine.execution import CachedPrefix
from chainrule.engine.head.asked import AskedTokens
from chainrule.engine.plan import plan
from chainrule.engine.predictors.base import Predictor
from chainrule.engine.question import Item, Route, SequenceFactors, Settings
from chainrule.errors import InputError
from chainrule.forest.forest import offsets
from chainrule.forest.permutations import resolve
from chainrule.models.identity import identity_of
from chainrule.results.batch import Scores
from chainrule.results.ordering import Ordering
from chainrule.scoring.asked import asking, token_lists
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
    targets: Sequence[Any] = (),
    cached_prefix: CachedPrefix | None = None,
) -> Scores:
    """Score the requests, in input order. With several orders of prediction, the scores of a request are adjacent.

    order: see `forest.permutations.resolve`; None: the predictor's own. targets: of each request, see `scoring.asked`.
    cached_prefix: see `Predictor.factors`.
    Raises InputError for a request that cannot be scored, and ModelError for NaN.
    """
    settings.check(predictor.model.head.size)
    requests, starts = _with_symbols(requests, start, end, tokenizer)
    for request, own_start in zip(requests, starts, strict=True):
        _warn_of_start(request, own_start)
    items, count = [_item(*both, settings.last_n, end) for both in zip(requests, starts, strict=True)], 1
    if len(targets) or settings.draws:
        items = asking(items, targets, settings.draws, seed, predictor.model.head.size)
    if order is not None:
        orders = [_orders(request, order, seed, item if len(requests) > 1 else None) for item, request in enumerate(requests)]
        count = len(orders[0]) if orders else 1
        items = [replace(item, order=one) for item, own_orders in zip(items, orders, strict=True) for one in own_orders]
    try:
        factors = predictor.factors(items, settings, cached_prefix=cached_prefix)
    except InputError as error:
        raise InputError(error.reason, None if error.item is None else error.item // count) from None
    window = predictor.model.max_rows if settings.window in (None, False) else settings.window
    return scores_of(
        predictor,
        tokenizer,
        _repeated(requests, count),
        _repeated(starts, count),
        factors,
        end=end,
        window=window,
        temperature=float(settings.temperature),
        asked_S=[item.asked for item in items],
    )


def count_contexts(
    predictor: Predictor,
    tokenizer: TokenizerLike | None,
    requests: Sequence[Request],
    start: Start,
    end: int | None,
    settings: Settings,
) -> tuple[int, int]:
    """The numbers of factors of these requests, and of distinct contexts. Nothing is computed.

    Models that do not share contexts compute each factor apart. Raises InputError for a request that cannot be scored.
    """
    requests, starts = _with_symbols(requests, start, end, tokenizer)
    items = [_item(*both, settings.last_n, end) for both in zip(requests, starts, strict=True)]
    job = plan(items, predictor.model.max_rows, settings.window, settings.stride)
    tokens = sum(item.factors for item in items)
    return tokens, job.question.contexts if predictor.strategy == "forest" else tokens


def scores_of(
    predictor: Predictor,
    tokenizer: TokenizerLike | None,
    requests: list[Request],
    starts: list[Start],
    factors: SequenceFactors,
    *,
    end: int | None = None,
    window: int | None = None,
    temperature: float = 1.0,
    asked_S: Sequence[AskedTokens] = (),
) -> Scores:
    """The factors of the requests as `Scores`. window: the most embeddings that a factor could be conditioned on."""
    targets, draws = token_lists(factors, asked_S) if factors.asked_S else (None, None)
    return Scores(
        requests=requests,
        starts=starts,
        end=end,
        offsets=offsets(factors.count_S),
        ids=factors.ids,
        statistics=factors.answer.statistics,
        contexts=factors.contexts,
        windows=factors.windows_S,
        tokenizer=tokenizer,
        identity=identity_of(predictor.model),
        window=window,
        invariant=factors.invariance,
        rows=factors.answer.rows,
        distinct_contexts=factors.answer.contexts,
        orderings=[ordering_of(route) for route in factors.routes],
        temperature=temperature,
        targets=targets,
        draws=draws,
    )


def ordering_of(route: Route | None) -> Ordering | None:
    """The order of prediction of a result. route: None: left to right, as in causal models."""
    if route is None:
        return None
    ordered = route.ordered
    return Ordering(ordered.order_T, ordered.given_G, len(ordered.ids_L), route.length_given, route.how, route.support)


def _with_symbols(
    requests: Sequence[Request], start: Start, end: int | None, tokenizer: TokenizerLike | None
) -> tuple[Sequence[Request], list[Start]]:
    """The requests with their end symbols, and the start symbol of each."""
    starts = [
        start if r.start_id is None else Start("cls", r.start_id, token_formatter(tokenizer)(r.start_id)) for r in requests
    ]
    return requests if end is None else [_with_end(request, end) for request in requests], starts


def _with_end(request: Request, end: int) -> Request:
    """The request with the end symbol. It is predicted but not fed to the model, so its embedding may be zeros."""
    embeddings = request.embeddings
    if embeddings is not None:
        embeddings = torch.cat([embeddings, embeddings.new_zeros(1, embeddings.shape[1])])
    return replace(request, ids=np.concatenate((request.ids, np.array([end], np.int64))), embeddings=embeddings)


def _warn_of_start(request: Request, start: Start) -> None:
    """Warn if the first token is the start symbol itself."""
    first = request.context_ids if len(request.context_ids) else request.ids
    if start.id is not None and first[0] == start.id:
        warnings.warn(
            f"the tokens begin with the start symbol {start.token} (id {start.id}), which is added too, so it occurs twice: "
            "leave it out, or pass start='given'",
            stacklevel=outside(),
        )


def _item(request: Request, start: Start, last_n: int | None, end: int | None) -> Item:
    ids = np.concatenate((request.context_ids, request.ids)) if len(request.context_ids) else request.ids
    given = len(request.context_ids)
    if last_n is not None:
        given = max(given, len(ids) - (end is not None) - last_n)
    return Item(ids, given, start.id, request.embeddings)


def _repeated(items: Sequence[T], count: int) -> list[T]:
    return [item for item in items for _ in range(count)]


def _orders(request: Request, order: Any, seed: int, item: int | None) -> list[Ints]:
    """The orders of prediction of one request. item: its number, for the error. Raises InputError."""
    try:
        return resolve(order, len(request.ids), int(seed))
    except InputError as error:
        raise InputError(error.reason, item) from None
