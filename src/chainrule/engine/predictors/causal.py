"""Causal models: left to right on the forest engine, and any other order by sums over all texts, if these are few.

Shapes: S sequences, B contexts, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TypeVar

import numpy as np

from chainrule._types import Floats, Ints
from chainrule.engine.decoding.base import MANY, DecodingTree
from chainrule.engine.decoding.rerun import RerunTree
from chainrule.engine.decoding.tree import ForestTree, token_feed
from chainrule.engine.engine import Engine
from chainrule.engine.execution import CachedPrefix
from chainrule.engine.plan import plan
from chainrule.engine.predictors.base import Accepts, own_start
from chainrule.engine.predictors.in_order import is_ascending, refuse_windows, route_of
from chainrule.engine.predictors.marginal import MarginalPredictor
from chainrule.engine.prefixes.store import PrefixCache
from chainrule.engine.question import Item, Route, SequenceFactors, Settings
from chainrule.engine.selfcheck.invariance import invariance_of
from chainrule.errors import InputError
from chainrule.text.base import TokenizerLike
from chainrule.text.start_end import Start
from chainrule.verdict import Verdict

T = TypeVar("T")

_HOW = "causal: the network sees only the tokens before"


class CausalPredictor:
    """Predicts from left to right, which does not require the length of the text."""

    accepts = Accepts()

    def __init__(self, engine: Engine) -> None:
        self.engine, self.model, self.strategy, self.reason = engine, engine.model, engine.strategy, engine.reason

    @property
    def invariance(self) -> Verdict:
        return invariance_of(self.engine)

    @cached_property
    def any_order(self) -> MarginalPredictor:
        return MarginalPredictor(self.engine)

    def cache_prefixes(self, memory: int) -> Verdict:
        verdict = self._can_cache_prefixes()
        self.engine.prefixes = PrefixCache(memory if verdict else 0)
        if verdict and not memory:
            return Verdict(False, "no prefixes are kept in 0 bytes")
        return verdict

    def _can_cache_prefixes(self) -> Verdict:
        if self.strategy != "forest":
            return Verdict(
                False, f"prefixes are kept by the forest strategy only, and this model needs {self.strategy}: {self.reason}"
            )
        if not self.invariance:
            return Verdict(False, f"with kept prefixes, numbers might have other bits: {self.invariance.reason}")
        return Verdict(True, "the rows of a prefix have the same bits in any batch")

    def start(self, requested: str | int, tokenizer: TokenizerLike | None) -> Start:
        return own_start(requested, self.model, tokenizer)

    def factors(
        self, items: Sequence[Item], settings: Settings, *, cached_prefix: CachedPrefix | None = None
    ) -> SequenceFactors:
        """The factors of items. Items without an order, or with that of the text, run left to right, others by `any_order`."""
        if all(item.order is None for item in items):
            return self._left_to_right(items, settings, cached_prefix)
        sequences = [item.ordered() for item in items]
        ascending_S = np.array([is_ascending(sequence.fed_L) for sequence in sequences], bool)
        ascending, others = np.flatnonzero(ascending_S), np.flatnonzero(~ascending_S)
        parts = []
        if len(ascending):
            factors = _renumbered(
                ascending, lambda: self._left_to_right([items[s] for s in ascending.tolist()], settings, cached_prefix)
            )
            parts.append(replace(factors, routes=[route_of(sequences[s], _HOW, "", True) for s in ascending.tolist()]))
        if len(others):
            refuse_windows(settings)
            parts.append(
                _renumbered(
                    others,
                    lambda: self.any_order.factors_in_order(
                        [sequences[s] for s in others.tolist()], settings, [items[s].asked for s in others.tolist()]
                    ),
                )
            )
        return SequenceFactors.joined(parts, np.concatenate([ascending, others]))

    def _left_to_right(self, items: Sequence[Item], settings: Settings, cached_prefix: CachedPrefix | None) -> SequenceFactors:
        """The factors from left to right, in windows if the context requires it."""
        job = plan(items, self.model.max_rows, settings.window, settings.stride)
        answer = self.engine.answer(job.question, settings, cached_prefix=cached_prefix)
        count_S = np.array([item.factors for item in items], np.int64)
        ids = job.question.token_N[job.node_T]
        routes: list[Route | None] = [None] * len(items)
        asked_S = answer.asked.of_sequences(job.order_X, [item.asked for item in items])
        return SequenceFactors(
            answer.at(job.node_T), ids, job.context_T, count_S, job.windows_S, routes, self.invariance, asked_S
        )

    def next_token(self, contexts: Sequence[Item], *, rows: int | None = None, temperature: float = 1.0) -> Floats:
        # The last token of an item only marks the position to predict.
        items = [Item(np.append(c.ids, 0), len(c.ids), c.start_id, c.embeddings) for c in contexts]
        job = plan(items, self.model.max_rows, False, None)
        node_B = job.question.forest.parent_N[job.node_T]
        return self.engine.distributions(job.question, node_B, rows=rows, temperature=temperature)

    def tree(self, ids: Sequence[int], rows: int = 1, *, same_bits: bool = False) -> DecodingTree:
        feed = token_feed(self.engine)
        if self.strategy != "forest":
            return RerunTree(self.engine, ids, feed)
        exact = (same_bits or rows >= MANY) and bool(self.invariance)
        return ForestTree(self.engine, ids, feed, same_bits=exact, row_by_row=exact and same_bits)


def _renumbered(number: Ints, compute: Callable[[], T]) -> T:
    """The result of `compute`. An error about its item i is raised for item number[i]."""
    try:
        return compute()
    except InputError as error:
        if error.item is None:
            raise
        raise InputError(error.reason, int(number[error.item])) from None
