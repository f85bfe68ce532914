"""The common part of predictors in any order.

Shapes: S sequences, T factors of all of them, B conditionals, V vocabulary.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule._types import Floats, Ints
from chainrule.engine.decoding.base import DecodingTree
from chainrule.engine.decoding.ordered_tree import ConditionalTree
from chainrule.engine.execution import CachedPrefix
from chainrule.engine.head.asked import NONE, AskedTokens
from chainrule.engine.predictors.base import Accepts, Cloze, Support, own_start
from chainrule.engine.question import DEFAULTS, Answer, Item, Route, SequenceFactors, Settings
from chainrule.errors import InputError
from chainrule.forest.forest import offsets
from chainrule.forest.permutations import OrderedSequence
from chainrule.text.base import TokenizerLike
from chainrule.text.start_end import Start
from chainrule.verdict import Verdict

NO_END = "with an order, the length of the text is given, so no end symbol is predicted: leave end= out"
EMBEDDINGS = "embeddings are scored left to right under causal models: give token ids for any other order"


def no_next_token(name: str, strategy: str) -> str:
    """The reason that a model has no distribution of the next token."""
    return f"{name} is not a causal model ({strategy}): it has no distribution of the next token given only those before it"


def no_pseudo(name: str, strategy: str) -> Verdict:
    """The verdict that a model has no pseudo-log-likelihoods."""
    return Verdict(
        False,
        f"{name} ({strategy}) has no unique probability of a token given all others: it depends on the order in which these "
        "become known; use a masked model for a pseudo-log-likelihood, or a causal one with a tiny vocabulary",
    )


def accepts_in_order(name: str, strategy: str, pseudo: Verdict) -> Accepts:
    """The requests that a model supports if it requires the length of the text."""
    no = no_next_token(name, strategy)
    return Accepts(
        next_token=Verdict(False, f"{no}; use score() for factors, or pseudo_log_likelihood()"),
        embeddings=Verdict(False, f"{no}; it takes token ids and masks, not embeddings: give token ids"),
        embed=Verdict(False, f"{no}; it takes token ids and masks, so its embeddings cannot be scored"),
        engine=Verdict(False, f"{no}, so it has no engine for that"),
        pairs=Verdict(False, f"pairs of texts are for causal models, not for {name}: give one of the two as context="),
        end_symbol=Verdict(False, NO_END),
        left_to_right=Verdict(False, f"{no}; verify checks properties of causal models"),
        pseudo=pseudo,
    )


class InOrder(ABC):
    """A predictor in the requested order, by default from left to right."""

    model: Any
    strategy: str
    reason: str
    how: str
    support: Support
    accepts: Accepts
    causal = False  # whether factors from left to right do not depend on the length of the text

    @property
    @abstractmethod
    def invariance(self) -> Verdict: ...

    @property
    def any_order(self) -> InOrder:
        return self

    def cache_prefixes(self, memory: int) -> Verdict:
        return Verdict(False, f"prefixes are kept for causal models only, and this one predicts in any order ({self.strategy})")

    def start(self, requested: str | int, tokenizer: TokenizerLike | None) -> Start:
        return own_start(requested, self.model, tokenizer)

    @abstractmethod
    def answer_in_order(
        self, sequences: list[OrderedSequence], settings: Settings = DEFAULTS, asked: AskedTokens = NONE
    ) -> Answer:
        """Every factor of every sequence, in the order of prediction, one sequence after another.

        Each distinct factor is computed once. Raises InputError, with the item, for a sequence that cannot be scored (too
        long, tokens that cannot occur), and ModelError for NaN.
        """

    @abstractmethod
    def conditionals(self, clozes: list[Cloze], *, rows: int | None = None, temperature: float = 1.0) -> Floats:
        """log Pr(v | seen) for every v of the vocabulary, B × V; −inf for tokens outside the support."""

    def answer(self, clozes: Sequence[Cloze], token_N: Ints, settings: Settings = DEFAULTS) -> Answer:
        """log Pr(token | seen) for each cloze and its token, with its statistics. Each distinct factor is computed once.

        Raises InputError if the conditionals of the model depend on the order in which `seen` became known.
        """
        raise InputError(self.accepts.pseudo.reason)

    def factors(
        self, items: Sequence[Item], settings: Settings, *, cached_prefix: CachedPrefix | None = None
    ) -> SequenceFactors:
        return self.factors_in_order([item.ordered() for item in items], settings, [item.asked for item in items])

    def factors_in_order(
        self, sequences: list[OrderedSequence], settings: Settings, asked_S: Sequence[AskedTokens] = ()
    ) -> SequenceFactors:
        """The factors of sequences, predicted in their orders and returned in the order of the text."""
        refuse_windows(settings)
        if wrong := [i for i, sequence in enumerate(sequences) if not len(sequence.order_T)]:
            raise InputError("a single token with a given start has no factor, so there is nothing to score", wrong[0])
        step_S = [np.argsort(sequence.order_T, kind="stable") for sequence in sequences]  # step of each token of the text
        count_S = np.array([len(step) for step in step_S], np.int64)
        asked_S = asked_S or [NONE] * len(sequences)
        known_S = np.array([len(s.given_G) + (s.start_id is not None) for s in sequences], np.int64)
        step_T = np.concatenate([np.zeros(0, np.int64), *step_S])
        number_T = np.repeat(offsets(count_S)[:-1], count_S) + step_T
        asked, order_X = AskedTokens.concatenate(asked_S, count_S).renumbered(number_T)
        answer = self.answer_in_order(sequences, settings, asked)
        return SequenceFactors(
            answer.at(number_T),
            np.concatenate([np.zeros(0, np.int64), *(sequence.ids_L[np.sort(sequence.order_T)] for sequence in sequences)]),
            np.repeat(known_S, count_S) + step_T,
            count_S,
            np.ones(len(sequences), np.int64),
            [route_of(sequence, self.how, self.support.description, self.causal) for sequence in sequences],
            self.invariance,
            answer.asked.of_sequences(order_X, asked_S),
        )

    def next_token(self, contexts: Sequence[Item], *, rows: int | None = None, temperature: float = 1.0) -> Floats:
        if not self.accepts.next_token:
            raise InputError(self.accepts.next_token.reason)
        return self.conditionals([
            Cloze(np.append(c.ids, 0), np.arange(len(c.ids)), len(c.ids), c.start_id) for c in contexts
        ], rows=rows, temperature=temperature)  # fmt: skip

    def tree(self, ids: Sequence[int], rows: int = 1, *, same_bits: bool = False) -> DecodingTree:
        raise InputError(f"{self.model.name} fills the positions of a text of given length: give an order")

    def ordered_tree(self, ordered: OrderedSequence) -> DecodingTree:
        """A decoding tree that fills the positions `ordered.order_T` of a text whose other tokens are given."""
        return ConditionalTree(self._next_conditionals, ordered)

    def _next_conditionals(self, ordered: OrderedSequence, filled: list[tuple[int, ...]]) -> Floats:
        """log Pr of the next token in the order, for each filling of the first positions: B × V."""
        clozes = []
        for ids in filled:
            if len(ids) >= len(ordered.order_T):
                raise InputError(f"all {len(ordered.order_T)} positions are filled, so there is no next token")
            ids_L = ordered.ids_L.copy()
            ids_L[ordered.order_T[: len(ids)]] = ids
            clozes.append(Cloze(ids_L, ordered.seen(len(ids)), int(ordered.order_T[len(ids)]), ordered.start_id))
        return self.conditionals(clozes)


def route_of(sequence: OrderedSequence, how: str, support: str, causal: bool) -> Route:
    """The route of a sequence by a predictor. From left to right, a causal one does not require the length."""
    return Route(sequence, how, support, length_given=not (causal and is_ascending(sequence.fed_L)))


def is_ascending(position_L: Ints) -> bool:
    """Whether tokens become known in the order of the text."""
    return bool((np.diff(position_L) > 0).all())


def refuse_windows(settings: Settings) -> None:
    """Raises InputError for windows, which require an order from left to right."""
    if settings.window not in (None, False) or settings.stride is not None:
        raise InputError(
            "windows are for causal models, left to right: in another order a factor sees positions on both sides; leave "
            "window= and stride= out"
        )
