"""Factors in any order by a two-stream network (XLNet): one pass gives all factors of a text in one order.

Content rows see themselves and the places that became known before them; query rows see the latter only, and predict. The
first factor must have something before it: where a query sees nothing at all, every score is masked alike, the softmax is
uniform over everything, and the whole text would leak in. So at least one token is given.

Shapes: B texts, L places of a text, T targets of each, C conditionals, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from chainrule._types import Floats, Ints
from chainrule.engine.predictors.base import Cloze, Steps, Support, check_clozes
from chainrule.engine.predictors.forwards import NO_PROMISE, Asked, Plan, Reader, Reading, head_logprobs, logprobs
from chainrule.engine.predictors.in_order import InOrder, accepts_in_order, no_pseudo
from chainrule.engine.question import Answer, Progress
from chainrule.engine.selfcheck.probe import check_settled, settings
from chainrule.engine.selfcheck.reference import SHARE, SURE, distance, moved, surely_off, tolerance
from chainrule.errors import InputError, ModelError
from chainrule.forest.permutations import OrderedSequence
from chainrule.models.two_stream import TwoStreamModel
from chainrule.ops.sealed import sealed
from chainrule.text.base import TokenizerLike
from chainrule.text.start_end import Start, given_start
from chainrule.verdict import Verdict

NEEDS_A_TOKEN = (
    "a two-stream network has no distribution of a token without any other: its query would see nothing, and attention over "
    "nothing sees every token of the text. Take the first token in the order as given (start='given'), or give a context"
)
_PROBE = 9  # tokens of the texts that a model is tried out on


class TwoStreamPredictor(InOrder):
    """The chain rule in any order, by a two-stream network, given at least one token."""

    strategy = "two-stream"
    support = Support()
    how = "the content stream sees what is already known, and the query stream predicts from that; the first token is given"

    def __init__(self, model: TwoStreamModel) -> None:
        self.model = model
        self.accepts = accepts_in_order(model.name, self.strategy, no_pseudo(model.name, self.strategy))
        self._reader = Reader(model, model.head, self._run, lambda length: 2 * length)
        self.reason = f"agrees with the model's own forward to {self._check_model():.1e} nats"

    @property
    def invariance(self) -> Verdict:
        return NO_PROMISE

    def start(self, requested: str | int, tokenizer: TokenizerLike | None) -> Start:
        return given_start(requested, NEEDS_A_TOKEN)

    def answer_in_order(
        self, sequences: list[OrderedSequence], *, rows: int | None = None, top: int = 0, progress: Progress | None = None
    ) -> Answer:
        """Every factor of every sequence, in the order of prediction; see `InOrder`. One pass a sequence."""
        for item, ordered in enumerate(sequences):
            self._check(ordered.ids_L, ordered.fed_L, len(ordered.given_G), ordered.start_id, item)
        steps = Steps(sequences)
        fed = [_known(ordered.ids_L, ordered.fed_L[:-1]) for ordered in sequences]  # nothing follows the last token

        def ask(n: int) -> Asked:
            s, t = steps.at_N[n]
            return Asked(*fed[s], int(sequences[s].order_T[t]))

        return self._reader.answer(Plan.of(len(steps), ask), steps.token_N, rows=rows, top=top, progress=progress)

    def conditionals(self, clozes: list[Cloze], *, rows: int | None = None) -> Floats:
        """log Pr(v | seen) for every v of the vocabulary, B × V; it depends on the order in which `seen` became known."""
        check_clozes(clozes)
        for item, place in enumerate(clozes):
            self._check(place.ids_L, place.seen, len(place.seen), place.start_id, item)
        ask = lambda n: Asked(*_known(clozes[n].ids_L, clozes[n].seen), clozes[n].target)  # noqa: E731
        return self._reader.conditionals(Plan.of(len(clozes), ask), rows=rows)

    def _run(self, reading: Reading, model: TwoStreamModel | None = None) -> Tensor:
        """Each text is read at its own targets; texts with fewer of them read their last one again."""
        count_B = np.bincount(reading.pass_C, minlength=len(reading.fed_BL))
        nth_C = np.arange(len(reading.pass_C)) - np.repeat(np.cumsum(count_B) - count_B, count_B)
        target_BT = np.zeros((len(count_B), count_B.max()), np.int64)
        target_BT[reading.pass_C, nth_C] = reading.target_C
        target_BTL = np.eye(reading.fed_BL.shape[1])[target_BT]
        fed_BL, hidden_BLL = torch.from_numpy(reading.fed_BL), torch.from_numpy(_hidden(reading.rank_BL))
        hidden_BTH = (model or self.model).queries(fed_BL, hidden_BLL, torch.from_numpy(target_BTL))
        return hidden_BTH[torch.from_numpy(reading.pass_C), torch.from_numpy(nth_C)]

    def _check(self, ids_L: Ints, looked_at: Ints, given: int, start_id: int | None, item: int) -> None:
        if not given:
            raise InputError(NEEDS_A_TOKEN, item)
        if start_id is not None:
            raise InputError(f"a two-stream network is fed with no start symbol (id {start_id}): use start='given'", item)
        ids, size = ids_L[looked_at], self.model.head.size
        wrong = np.flatnonzero((ids < 0) | (ids >= size))
        if len(wrong):
            raise InputError(
                f"token id {ids[wrong[0]]} at place {looked_at[wrong[0]]} is out of range; the model's ids are 0 … {size - 1}",
                item,
            )
        if (most := self.model.max_rows) is not None and len(ids_L) > most:
            raise InputError(f"the text has {len(ids_L)} tokens, and the model takes {most}: shorten it", item)

    @sealed
    def _check_model(self) -> float:
        """How far factors are off from the model's own forward, at most.

        Raises ModelError where they are not its own, or where tokens that come later in the order have an effect.
        """
        with self.model.on_trial() as trial:
            return self._tried(trial)

    def _tried(self, trial: TwoStreamModel) -> float:
        model, draw = self.model, np.random.default_rng(0)
        ids_L = draw.integers(0, model.head.size, _PROBE)
        orders = [np.arange(_PROBE), np.arange(_PROBE)[::-1], draw.permutation(_PROBE), draw.permutation(_PROBE)]
        before = settings(trial)
        try:
            error = self._off(trial, ids_L, orders)
            leaks = [order for order in orders if self._leaks(trial, ids_L, order)]
        except Exception as error:
            raise model.failed("does not run as a two-stream network", error) from error
        if leaks:
            raise ModelError(
                f"{model.title} lets tokens that come later in the order {leaks[0].tolist()} change "
                "factors before them, so these are no conditional probabilities"
            )
        found_TV, other_TV = (self._whole(trial, ids, orders[0]) for ids in (ids_L, ids_L[::-1]))
        sure, most = (tolerance(share, moved(found_TV, other_TV), found_TV) for share in (SURE, SHARE))
        if (off := surely_off(model, error, sure, most, lambda model: self._off(model, ids_L, orders))) > 0:
            raise ModelError(
                f"{model.title} cannot be scored exactly here: its head on single queries is off by "
                f"{off:.2g} nats from its own forward"
            )
        check_settled(trial, before)
        return error

    def _off(self, trial: TwoStreamModel, ids_L: Ints, orders: Sequence[Ints]) -> float:
        return max(self._off_in(trial, ids_L, order) for order in orders)

    def _off_in(self, trial: TwoStreamModel, ids_L: Ints, order_L: Ints) -> float:
        """The whole of an order in one pass, against the model's own forward of one target at a time."""
        worst = 0.0
        found_TV = self._whole(trial, ids_L, order_L)
        for t in range(1, len(order_L)):
            fed_L, rank_L = _known(ids_L, order_L[:t])
            target_1L = torch.from_numpy(np.eye(len(ids_L))[order_L[t : t + 1]])
            own_V = trial.own_target_logits(torch.from_numpy(fed_L), torch.from_numpy(_hidden(rank_L[None])[0]), target_1L)[0]
            worst = max(worst, distance(found_TV[t - 1], logprobs(own_V)))
        return worst

    def _leaks(self, trial: TwoStreamModel, ids_L: Ints, order_L: Ints) -> bool:
        """Whether other tokens in the later half of the order change a bit of the factors before them."""
        half, other_L = len(ids_L) // 2, ids_L.copy()
        other_L[order_L[half:]] = (ids_L[order_L[half:]] + 1) % self.model.head.size
        return not np.array_equal(self._whole(trial, ids_L, order_L)[:half], self._whole(trial, other_L, order_L)[:half])

    def _whole(self, trial: TwoStreamModel, ids_L: Ints, order_L: Ints) -> Floats:
        """log Pr(v | …) of all places but the first one in the order, in one pass: T × V."""
        fed_L, rank_L = _known(ids_L, order_L)
        reading = Reading(fed_L[None], rank_L[None], np.zeros(len(order_L) - 1, np.int64), order_L[1:])
        return head_logprobs(trial.head, self._run(reading, trial))


def _known(ids_L: Ints, known: Ints) -> tuple[Ints, Ints]:
    """What is fed, 0 in places not known, and the rank of each place: when it became known, L where it never does."""
    fed_L, rank_L = np.zeros(len(ids_L), np.int64), np.full(len(ids_L), len(ids_L))
    fed_L[known], rank_L[known] = ids_L[known], np.arange(len(known))
    return fed_L, rank_L


def _hidden(rank_BL: Ints) -> NDArray[np.float32]:
    """1 where a place (row) must not see another (column): one that did not become known before it."""
    return (rank_BL[:, None, :] >= rank_BL[:, :, None]).astype(np.float32)
