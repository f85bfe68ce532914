"""Scoring in any order: which way each order goes, and its factors put back into the order of the text.

Shapes: S sequences (every text once for each of its K orders), T columns of all of them, L places of one, k alternatives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np

from chainrule._types import Ints
from chainrule.engine.engine import Answer, Progress
from chainrule.engine.predictors.base import Chain
from chainrule.errors import InputError
from chainrule.forest.forest import offsets, ranges
from chainrule.forest.permutations import Ordered, resolve
from chainrule.results.ordering import Ordering
from chainrule.text.requests import Request
from chainrule.text.start_end import Start
from chainrule.verdict import Verdict

T = TypeVar("T")

_CAUSAL = "causal: the network looks at the tokens before, and at no others"


class How(Protocol):
    """What is asked of `assemble.Settings` here."""

    @property
    def top(self) -> int: ...
    @property
    def rows(self) -> int | None: ...
    @property
    def window(self) -> int | bool | None: ...
    @property
    def stride(self) -> int | None: ...
    @property
    def progress(self) -> Progress | None: ...


@dataclass(frozen=True)
class Found:
    """The factors of S sequences, one after another, each in the order of its text."""

    answer: Answer
    ids: Ints
    contexts: Ints
    count_S: Ints  # how many factors each sequence has
    windows_S: Ints

    def columns(self) -> dict[str, Any]:
        """As `Scores` takes them."""
        names = ("logprobs", "ranks", "entropies", "top_ids", "top_logprobs")
        return {"ids": self.ids, "contexts": self.contexts, **dict(zip(names, self.answer.columns, strict=True))}

    @classmethod
    def joined(cls, parts: list[Found], sequence_S: Ints) -> Found:
        """Several as one; the sequences of all parts, one part after another, are those numbered `sequence_S`."""
        place_S = np.argsort(sequence_S, kind="stable")
        count_S = np.concatenate([part.count_S for part in parts])
        take_T = ranges(offsets(count_S)[:-1][place_S], count_S[place_S])
        logprob, rank, entropy, top_id, top_logprob = (
            np.concatenate(columns) for columns in zip(*(part.answer.columns for part in parts), strict=True)
        )
        rows, contexts = (sum(getattr(part.answer, name) for part in parts) for name in ("rows", "contexts"))
        return cls(
            Answer(logprob, rank, entropy, top_id, top_logprob, rows, contexts).at(take_T),
            np.concatenate([part.ids for part in parts])[take_T],
            np.concatenate([part.contexts for part in parts])[take_T],
            count_S[place_S],
            np.concatenate([part.windows_S for part in parts])[place_S],
        )


@dataclass(frozen=True)
class Orders:
    """The orders that were asked for, of the tokens to be scored, and what can predict in them."""

    order_S: list[Ints]  # places of the text, for each text its K orders
    count: int  # K
    chain: Callable[[], Chain]
    ordinary: bool  # whether the engine predicts left to right: under a causal model

    @classmethod
    def of(cls, made: Sequence[Request], order: Any, seed: int, chain: Callable[[], Chain], ordinary: bool) -> Orders:
        """Raises InputError, naming the item, for what is no order of its tokens."""
        found: list[Ints] = []
        for item, request in enumerate(made):
            try:
                found += resolve(order, len(request.ids), int(seed))
            except InputError as error:
                raise InputError(error.reason, item if len(made) > 1 else None) from None
        return cls(found, len(found) // max(1, len(made)), chain, ordinary)

    def repeated(self, items: list[T]) -> list[T]:
        """Each item once for every order of it."""
        return [item for item in items for _ in range(self.count)]


def in_orders(
    orders: Orders,
    made: list[Request],
    starts: list[Start],
    settings: How,
    ordinary: Callable[[list[Request], list[Start]], tuple[Found, Verdict]],
) -> tuple[Found, list[Ordering | None], Verdict]:
    """The factors of every sequence in its order: left to right by `ordinary`, if that can be, all others by the chain."""
    sequences = [_sequence(*each) for each in zip(made, starts, orders.order_S, strict=True)]
    plain_S = np.array([orders.ordinary and _ascending(sequence.fed_L) for sequence in sequences], bool)
    numbers = [np.flatnonzero(plain_S), np.flatnonzero(~plain_S)]
    parts: list[tuple[Found, Verdict]] = []
    hows: dict[bool, tuple[str, str, bool]] = {True: (_CAUSAL, "", True)}
    if len(numbers[0]) or (orders.ordinary and not len(sequences)):
        plain = [made[s] for s in numbers[0]], [starts[s] for s in numbers[0]]
        parts.append(_naming(numbers[0], orders, lambda: ordinary(*plain)))
    if len(numbers[1]) or not parts:
        _refuse_windows(settings)
        chain = orders.chain()
        hows[False] = (chain.how, chain.support.says, chain.causal)
        ask = [sequences[s] for s in numbers[1].tolist()]
        parts.append(_naming(numbers[1], orders, lambda: (by_chain(chain, ask, settings), chain.invariance)))
    orderings: list[Ordering | None] = [
        ordering_of(sequence, *hows[ordinarily]) for sequence, ordinarily in zip(sequences, plain_S.tolist(), strict=True)
    ]
    found = Found.joined([part for part, _ in parts], np.concatenate(numbers))
    return found, orderings, next((promise for _, promise in parts if not promise), parts[0][1])


def _sequence(request: Request, start: Start, order: Ints) -> Ordered:
    """Places count the context first. Without a start symbol the token that comes first in the order is given."""
    context = len(request.context_ids)
    order_T = order + context
    first = int(start.id is None and not context)
    given_G = np.concatenate([np.arange(context), order_T[:first]])
    return Ordered(np.concatenate([request.context_ids, request.ids]), order_T[first:], given_G, start.id)


def ordering_of(sequence: Ordered, how: str, support: str, causal: bool) -> Ordering:
    free = causal and _ascending(sequence.fed_L)
    return Ordering(sequence.order_T, sequence.given_G, len(sequence.ids_L), not free, how, support)


def _ascending(place_L: Ints) -> bool:
    return bool((np.diff(place_L) > 0).all())


def by_chain(chain: Chain, sequences: list[Ordered], settings: How) -> Found:
    """The factors of sequences in their orders, each put back into the order of its text."""
    if wrong := [i for i, sequence in enumerate(sequences) if not len(sequence.order_T)]:
        raise InputError("a single token with a given start has no factor, so there is nothing to score", wrong[0])
    answer = chain.factors(sequences, rows=settings.rows, top=settings.top, progress=settings.progress)
    step_S = [np.argsort(sequence.order_T, kind="stable") for sequence in sequences]  # of every column
    count_S = np.array([len(step) for step in step_S], np.int64)
    known_S = np.array([len(s.given_G) + (s.start_id is not None) for s in sequences], np.int64)
    step_T = np.concatenate([np.zeros(0, np.int64), *step_S])
    return Found(
        answer.at(np.repeat(offsets(count_S)[:-1], count_S) + step_T),
        np.concatenate([np.zeros(0, np.int64), *(sequence.ids_L[np.sort(sequence.order_T)] for sequence in sequences)]),
        np.repeat(known_S, count_S) + step_T,
        count_S,
        np.ones(len(sequences), np.int64),
    )


def _naming(number: Ints, orders: Orders, ask: Callable[[], T]) -> T:
    """An error about sequence i of some names the text it is of."""
    try:
        return ask()
    except InputError as error:
        if error.item is None:
            raise
        raise InputError(error.reason, int(number[error.item]) // orders.count) from None


def _refuse_windows(settings: How) -> None:
    if settings.window not in (None, False) or settings.stride is not None:
        raise InputError(
            "windows are for causal models, left to right: in another order a factor sees places on both sides; leave window= "
            "and stride= out"
        )
