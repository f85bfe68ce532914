"""From requests, through the engine, to Scores."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from chainrule._checks import is_whole
from chainrule._warnings import outside
from chainrule.engine.engine import Engine, Progress
from chainrule.engine.execution import Begun
from chainrule.engine.plan import Body, plan
from chainrule.engine.predictors.base import Chain
from chainrule.errors import InputError, short
from chainrule.forest.forest import offsets
from chainrule.results.batch import Scores
from chainrule.results.ordering import Ordering
from chainrule.scoring.in_order import Found, Orders, in_orders
from chainrule.text.requests import Request
from chainrule.text.start_end import Start
from chainrule.text.tokenizer import Tokenizes, naming
from chainrule.verdict import Verdict


@dataclass(frozen=True)
class Settings:
    """How to compute and what to keep; see `LanguageModel.score_batch`."""

    top: int = 0
    window: int | bool | None = None
    stride: int | None = None
    rows: int | None = None
    progress: Progress | None = None

    def check(self, vocab_size: int) -> None:
        """Raises InputError for a number out of range."""
        rows = () if self.rows is None else (("rows", self.rows, 1, 1 << 20),)
        for name, value, low, high in (("top", self.top, 0, vocab_size), *rows):
            if not is_whole(value, low, high):
                raise InputError(f"{name} must be a whole number from {low} to {high}, not {short(value)}")


def score_requests(
    predictor: Engine | Chain,
    tokenizer: Tokenizes | None,
    made: list[Request],
    start: Start,
    end: int | None,
    settings: Settings,
    orders_of: Callable[[list[Request]], Orders] | None = None,
    begun: Begun | None = None,
) -> Scores:
    """Score the requests, in their order; in the orders asked for, each once for every one, one request after another.

    begun: rows of what all of them begin with that have run already.
    Raises InputError for what has no factor, ModelError where there is NaN.
    """
    settings.check(predictor.model.head.size)
    starts = [start if r.start_id is None else Start("cls", r.start_id, naming(tokenizer)(r.start_id)) for r in made]
    if end is not None:
        _add_ends(made, end, predictor.model.width)
    for request, own in zip(made, starts, strict=True):
        _warn_of_start(request, own)
    ordinary = partial(_left_to_right, predictor, settings, begun)
    orderings: list[Ordering | None] = [None] * len(made)
    if orders_of is None:
        found, invariant = ordinary(made, starts)
    else:
        orders = orders_of(made)
        made, starts = orders.repeated(made), orders.repeated(starts)
        found, orderings, invariant = in_orders(orders, made, starts, settings, ordinary)
    return scores_of(predictor, tokenizer, made, starts, found, end=end, orderings=orderings, invariant=invariant)


def scores_of(
    predictor: Engine | Chain,
    tokenizer: Tokenizes | None,
    made: list[Request],
    starts: list[Start],
    found: Found,
    *,
    orderings: Sequence[Ordering | None],
    invariant: Verdict,
    end: int | None = None,
) -> Scores:
    """What was found, as `Scores`."""
    return Scores(
        requests=made,
        starts=starts,
        end=end,
        offsets=offsets(found.count_S),
        tokenizer=tokenizer,
        model=predictor.model.name,
        invariant=invariant,
        windows=found.windows_S,
        rows=found.answer.rows,
        distinct_contexts=found.answer.contexts,
        orderings=list(orderings),
        **found.columns(),
    )


def _left_to_right(
    engine: Engine | Chain, settings: Settings, begun: Begun | None, made: list[Request], starts: list[Start]
) -> tuple[Found, Verdict]:
    """The factors of a causal model, as it was trained to give them."""
    assert isinstance(engine, Engine), "all other models are asked in an order"
    bodies = [_body(request, own) for request, own in zip(made, starts, strict=True)]
    job = plan(bodies, engine.model.max_rows, settings.window, settings.stride)
    answer = engine.answer(job.question, rows=settings.rows, top=settings.top, progress=settings.progress, begun=begun)
    count_S = [len(r.ids) - _first_is_given(r, s) for r, s in zip(made, starts, strict=True)]
    ids = job.question.token_N[job.node_T]
    found = Found(answer.at(job.node_T), ids, job.context_T, np.array(count_S, np.int64), job.windows_S)
    return found, engine.invariance


def _first_is_given(request: Request, start: Start) -> bool:
    """A first token that is given has no factor."""
    return start.id is None and not len(request.context_ids)


def _add_ends(made: list[Request], end: int, width: int) -> None:
    """The end symbol is predicted and never fed, so whatever stands for its embedding is not looked at."""
    symbol = np.array([end], np.int64)
    for request in made:
        request.ids = np.concatenate((request.ids, symbol))
        if request.embeddings is not None:
            nothing = request.embeddings.new_zeros(1, width)
            request.embeddings = torch.cat([request.embeddings, nothing])


def _warn_of_start(request: Request, start: Start) -> None:
    first = request.context_ids if len(request.context_ids) else request.ids
    if start.id is not None and first[0] == start.id:
        warnings.warn(
            f"the tokens begin with the start symbol {start.token} (id {start.id}) themselves, so it stands there twice; "
            "leave it out, or take the first token as given with start='given'",
            stacklevel=outside(),
        )


def _body(request: Request, start: Start) -> Body:
    ids = np.concatenate((request.context_ids, request.ids)) if len(request.context_ids) else request.ids
    return Body(ids, len(request.context_ids), start.id, request.embeddings)
