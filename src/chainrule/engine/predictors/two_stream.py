"""Factors in any order by a two-stream network (XLNet): one pass gives all factors of a text in one order.

Content rows see themselves and the positions that became known before them. Query rows see only the latter, and predict. At
least one token must be given: if a query sees nothing, all its attention scores are masked alike, its softmax is uniform,
and the whole text leaks in.

Shapes: B texts, L positions of a text, T targets of each, C conditionals, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from chainrule._types import Floats, Ints
from chainrule.engine.head.asked import NONE, AskedTokens
from chainrule.engine.predictors.base import Cloze, Steps, Support, check_clozes
from chainrule.engine.predictors.forwards import NOT_INVARIANT, PassBatch, Plan, Reader, Request, head_logprobs, logprobs
from chainrule.engine.predictors.in_order import InOrder, accepts_in_order, no_pseudo
from chainrule.engine.question import DEFAULTS, Answer, Settings
from chainrule.engine.selfcheck.probe import check_unchanged, settings
from chainrule.engine.selfcheck.reference import MAX_SHARE, SAFE_SHARE, context_effect, distance, tolerance, unexplained_error
from chainrule.errors import InputError, ModelError
from chainrule.forest.permutations import OrderedSequence
from chainrule.models.two_stream import TwoStreamModel
from chainrule.ops.sealed import sealed
from chainrule.text.base import TokenizerLike
from chainrule.text.start_end import Start, given_start
from chainrule.verdict import Verdict

NEEDS_A_TOKEN = (
    "a two-stream network has no distribution of a token without any other token: its query would see nothing, and attention "
    "over nothing sees every token of the text. Take the first token in the order as given (start='given'), or give a context"
)
_PROBE = 9  # tokens of the texts of the check on load


class TwoStreamPredictor(InOrder):
    """The chain rule in any order, by a two-stream network, with at least one given token."""

    strategy = "two-stream"
    support = Support()
    how = "the content stream sees the tokens known so far, and the query stream predicts from them; the first token is given"

    def __init__(self, model: TwoStreamModel) -> None:
        self.model = model
        self.accepts = accepts_in_order(model.name, self.strategy, no_pseudo(model.name, self.strategy))
        self._reader = Reader(model, model.head, self._run, lambda length: 2 * length)
        self.reason = f"agrees with the model's own forward to {self._check_model():.1e} nats"

    @property
    def invariance(self) -> Verdict:
        return NOT_INVARIANT

    def start(self, requested: str | int, tokenizer: TokenizerLike | None) -> Start:
        return given_start(requested, NEEDS_A_TOKEN)

    def answer_in_order(
        self, sequences: list[OrderedSequence], settings: Settings = DEFAULTS, asked: AskedTokens = NONE
    ) -> Answer:
        """Every factor of every sequence, in the order of prediction; see `InOrder`. One pass for each sequence."""
        for item, ordered in enumerate(sequences):
            self._check(ordered.ids_L, ordered.fed_L, len(ordered.given_G), ordered.start_id, item)
        steps = Steps(sequences)
        fed = [_known(ordered.ids_L, ordered.fed_L[:-1]) for ordered in sequences]  # nothing follows the last token

        def request(n: int) -> Request:
            s, t = steps.at_N[n]
            return Request(*fed[s], int(sequences[s].order_T[t]))

        return self._reader.answer(Plan.of(len(steps), request), steps.token_N, settings, asked)

    def conditionals(self, clozes: list[Cloze], *, rows: int | None = None, temperature: float = 1.0) -> Floats:
        """log Pr(v | seen) for every v of the vocabulary, B × V. It depends on the order in which `seen` became known."""
        check_clozes(clozes)
        for item, cloze in enumerate(clozes):
            self._check(cloze.ids_L, cloze.seen, len(cloze.seen), cloze.start_id, item)
        request = lambda n: Request(*_known(clozes[n].ids_L, clozes[n].seen), clozes[n].target)  # noqa: E731
        return self._reader.conditionals(Plan.of(len(clozes), request), rows=rows, temperature=temperature)

    def _run(self, batch: PassBatch, model: TwoStreamModel | None = None) -> Tensor:
        """The hidden states at the targets, C × H. Targets are padded to equal numbers with position 0, which is not read."""
        count_B = np.bincount(batch.pass_C, minlength=len(batch.fed_BL))
        nth_C = np.arange(len(batch.pass_C)) - np.repeat(np.cumsum(count_B) - count_B, count_B)
        target_BT = np.zeros((len(count_B), count_B.max()), np.int64)
        target_BT[batch.pass_C, nth_C] = batch.target_C
        target_BTL = np.eye(batch.fed_BL.shape[1])[target_BT]
        fed_BL, masked_BLL = torch.from_numpy(batch.fed_BL), torch.from_numpy(_masked(batch.rank_BL))
        hidden_BTH = (model or self.model).queries(fed_BL, masked_BLL, torch.from_numpy(target_BTL))
        return hidden_BTH[torch.from_numpy(batch.pass_C), torch.from_numpy(nth_C)]

    def _check(self, ids_L: Ints, read: Ints, given: int, start_id: int | None, item: int) -> None:
        """Raises InputError unless a token is given, the tokens at the positions `read` are valid, and the text fits."""
        if not given:
            raise InputError(NEEDS_A_TOKEN, item)
        if start_id is not None:
            raise InputError(f"a two-stream network takes no start symbol (id {start_id}): use start='given'", item)
        ids, size = ids_L[read], self.model.head.size
        wrong = np.flatnonzero((ids < 0) | (ids >= size))
        if len(wrong):
            raise InputError(
                f"token id {ids[wrong[0]]} at position {read[wrong[0]]} is out of range; the model's ids are 0 … {size - 1}",
                item,
            )
        if (most := self.model.max_rows) is not None and len(ids_L) > most:
            raise InputError(f"the text has {len(ids_L)} tokens, and the model takes {most}: shorten it", item)

    @sealed
    def _check_model(self) -> float:
        """The largest difference of a factor from the model's own forward, in nats.

        Raises ModelError if the factors differ, or if tokens that come later in the order have an effect.
        """
        with self.model.temporary_trial() as trial:
            return self._checked_error(trial)

    def _checked_error(self, trial: TwoStreamModel) -> float:
        model, draw = self.model, np.random.default_rng(0)
        ids_L = draw.integers(0, model.head.size, _PROBE)
        orders = [np.arange(_PROBE), np.arange(_PROBE)[::-1], draw.permutation(_PROBE), draw.permutation(_PROBE)]
        before = settings(trial)
        try:
            error = self._error(trial, ids_L, orders)
            leaks = [order for order in orders if self._leaks(trial, ids_L, order)]
        except Exception as error:
            raise model.failed("does not run as a two-stream network", error) from error
        if leaks:
            raise ModelError(
                f"{model.title} lets tokens that come later in the order {leaks[0].tolist()} change "
                "factors before them, so these are no conditional probabilities"
            )
        logprob_TV, other_TV = (self._logprobs(trial, ids, orders[0]) for ids in (ids_L, ids_L[::-1]))
        effect = context_effect(logprob_TV, other_TV)
        safe, limit = (tolerance(share, effect, logprob_TV) for share in (SAFE_SHARE, MAX_SHARE))
        if (off := unexplained_error(model, error, safe, limit, lambda model: self._error(model, ids_L, orders))) > 0:
            raise ModelError(
                f"{model.title} cannot be scored exactly here: its head on single queries is off by "
                f"{off:.2g} nats from its own forward"
            )
        check_unchanged(trial, before)
        return error

    def _error(self, trial: TwoStreamModel, ids_L: Ints, orders: Sequence[Ints]) -> float:
        return max(self._error_in(trial, ids_L, order) for order in orders)

    def _error_in(self, trial: TwoStreamModel, ids_L: Ints, order_L: Ints) -> float:
        """The largest difference between one pass for a whole order and the model's own forward of one target at a time."""
        worst = 0.0
        logprob_TV = self._logprobs(trial, ids_L, order_L)
        for t in range(1, len(order_L)):
            fed_L, rank_L = _known(ids_L, order_L[:t])
            target_1L = torch.from_numpy(np.eye(len(ids_L))[order_L[t : t + 1]])
            own_V = trial.own_target_logits(torch.from_numpy(fed_L), torch.from_numpy(_masked(rank_L[None])[0]), target_1L)[0]
            worst = max(worst, distance(logprob_TV[t - 1], logprobs(own_V)))
        return worst

    def _leaks(self, trial: TwoStreamModel, ids_L: Ints, order_L: Ints) -> bool:
        """Whether other tokens in the second half of the order change any bit of the factors before them."""
        half, other_L = len(ids_L) // 2, ids_L.copy()
        other_L[order_L[half:]] = (ids_L[order_L[half:]] + 1) % self.model.head.size
        before, after = (self._logprobs(trial, ids, order_L)[:half] for ids in (ids_L, other_L))
        return not np.array_equal(before, after)

    def _logprobs(self, trial: TwoStreamModel, ids_L: Ints, order_L: Ints) -> Floats:
        """log Pr(v | …) at all positions but the first in the order, in one pass: T × V."""
        fed_L, rank_L = _known(ids_L, order_L)
        batch = PassBatch(fed_L[None], rank_L[None], np.zeros(len(order_L) - 1, np.int64), order_L[1:])
        return head_logprobs(trial.head, self._run(batch, trial))


def _known(ids_L: Ints, known: Ints) -> tuple[Ints, Ints]:
    """The input, with 0 at unknown positions, and the rank of each position in the order `known`, L if it is unknown."""
    fed_L, rank_L = np.zeros(len(ids_L), np.int64), np.full(len(ids_L), len(ids_L))
    fed_L[known], rank_L[known] = ids_L[known], np.arange(len(known))
    return fed_L, rank_L


def _masked(rank_BL: Ints) -> NDArray[np.float32]:
    """1 where a position (row) must not see another (column) because that one did not become known before it, else 0."""
    return (rank_BL[:, None, :] >= rank_BL[:, :, None]).astype(np.float32)
