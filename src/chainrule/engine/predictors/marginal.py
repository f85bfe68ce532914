"""Factors in any order by a causal model, on tiny vocabularies: sums over all texts of a length.

    Pr(x_t | x_S) = Σ Pr(all texts that agree with x_S and x_t) / Σ Pr(all texts that agree with x_S)

A causal model gives Pr of a token given the tokens before it. All V^L texts of L tokens are scored once, as one forest. Every
other conditional is a ratio of sums over them. If the seen tokens have probability 0, the ratio is 0/0. Then every token gets
−inf and the entropy is 0, so the log-probability of an impossible text is −inf and never NaN.

Shapes: L positions of a text, N factors, B questions, K texts that agree, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import numpy as np
import torch

from chainrule._types import Floats, Ints
from chainrule.engine.engine import Engine
from chainrule.engine.head.asked import NONE, AskedTokens
from chainrule.engine.head.moments import of_logprobs
from chainrule.engine.head.reductions import Block, statistics_of
from chainrule.engine.plan import plan
from chainrule.engine.predictors.base import Accepts, Cloze, Steps, Support, check_clozes
from chainrule.engine.predictors.in_order import InOrder
from chainrule.engine.question import DEFAULTS, Answer, Item, Settings
from chainrule.engine.selfcheck.invariance import invariance_of
from chainrule.errors import InputError
from chainrule.forest.permutations import OrderedSequence
from chainrule.ops.transfer import fetched
from chainrule.verdict import Verdict

MOST = 65_536  # texts of one length to sum over, at most


class MarginalPredictor(InOrder):
    """The chain rule in any order, by a causal model whose texts can all be listed."""

    strategy = "marginal"
    accepts = Accepts()
    causal = True  # left to right, it is the causal model
    reason = "a causal model predicts a token from those before it; any other conditional is a sum over all texts"
    how = "all texts of the length are scored, and the probabilities of those that agree with the seen tokens are summed"
    support = Support()

    def __init__(self, engine: Engine) -> None:
        self.engine, self.model = engine, engine.model
        self._tables: dict[tuple[int, int | None, float], Floats] = {}
        self._computed = 0

    @property
    def invariance(self) -> Verdict:
        return invariance_of(self.engine)  # each sum is over the same table, in a fixed order

    def answer_in_order(
        self, sequences: list[OrderedSequence], settings: Settings = DEFAULTS, asked: AskedTokens = NONE
    ) -> Answer:
        """Every factor of every sequence, in the order of prediction; see `InOrder`."""
        steps = Steps(sequences)
        for item, ordered in enumerate(sequences):
            self._check(Cloze(ordered.ids_L, ordered.given_G, 0, ordered.start_id), ordered.fed_L, item)
        return self._answer(steps, steps.token_N, settings, asked)

    def answer(self, clozes: Sequence[Cloze], token_N: Ints, settings: Settings = DEFAULTS) -> Answer:
        """The factors of single tokens at single positions; see `InOrder`."""
        self._check_all(clozes)
        return self._answer(clozes, token_N, settings)

    def conditionals(self, clozes: list[Cloze], *, rows: int | None = None, temperature: float = 1.0) -> Floats:
        """log Pr(v | seen) for every v of the vocabulary, B × V; all −inf if the seen tokens are impossible."""
        self._check_all(clozes)
        return np.array([self._conditional(cloze, rows, temperature) for cloze in clozes]).reshape(-1, self.model.head.size)

    def _answer(self, clozes: Sequence[Cloze], token_N: Ints, how: Settings, asked: AskedTokens = NONE) -> Answer:
        conditionals: dict[tuple[object, ...], Floats] = {}
        answer, before = Answer.empty(len(clozes), how, 0, asked), self._computed
        for n, cloze in enumerate(clozes):
            seen = tuple(sorted((int(p), int(cloze.ids_L[p])) for p in cloze.seen))
            key = (len(cloze.ids_L), cloze.start_id, seen, cloze.target)
            if key not in conditionals:
                conditionals[key] = self._conditional(cloze, how.rows, how.temperature)
            asked_n, index_X = asked.select(np.array([n]))
            block = _block(conditionals[key], int(token_N[n]))
            answer.store(np.array([n]), fetched(statistics_of(block, how.top, how.sets, asked_n)), index_X)
            if how.progress is not None:
                how.progress(n + 1, len(clozes))
        return replace(answer, rows=self._computed - before, contexts=len(conditionals))

    def _conditional(self, cloze: Cloze, rows: int | None, temperature: float) -> Floats:
        table = self._table(len(cloze.ids_L), cloze.start_id, rows, temperature)
        index: list[int | slice] = [slice(None)] * table.ndim
        for p in np.asarray(cloze.seen).tolist():
            index[p] = int(cloze.ids_L[p])
        axis = cloze.target - sum(1 for p in cloze.seen if p < cloze.target)
        free_VK = np.moveaxis(table[tuple(index)], axis, 0).reshape(self.model.head.size, -1)
        joint_V = _logsumexp(free_VK)
        total = _logsumexp(joint_V[None])[0]
        return joint_V - total if total > -np.inf else joint_V

    def _table(self, length: int, start_id: int | None, rows: int | None, temperature: float) -> Floats:
        """log Pr of all texts of this length, V × V × …; without a start symbol, given their first token.

        temperature: of each factor from left to right. All other conditionals are those of this joint distribution.
        """
        key = length, start_id, float(temperature)
        if key not in self._tables:
            texts = list(product(range(self.model.head.size), repeat=length))
            table_L = np.zeros(len(texts))
            if length > 1 or start_id is not None:
                job = plan([Item(np.array(text), 0, start_id) for text in texts], self.model.max_rows, False, None)
                answer = self.engine.answer(job.question, Settings(rows=rows, temperature=temperature))
                self._computed += answer.rows
                table_L = answer.logprobs[job.node_T].reshape(len(texts), -1).sum(1)
            self._tables[key] = table_L.reshape((self.model.head.size,) * length)
        return self._tables[key]

    def _check_all(self, clozes: Sequence[Cloze]) -> None:
        check_clozes(clozes)
        for item, cloze in enumerate(clozes):
            self._check(cloze, np.asarray(cloze.seen), item)

    def _check(self, cloze: Cloze, read: Ints, item: int) -> None:
        """Raises InputError if there are too many texts, the first token has no context, or an id at `read` is invalid."""
        size, length = self.model.head.size, len(cloze.ids_L)
        if size**length > MOST:
            raise InputError(
                f"{self.model.name} is a causal model: it gives Pr of a token given those before it. Any other conditional is "
                f"a sum over all {size}^{length} texts of {length} tokens (done up to {MOST:,} of them). Score from left to "
                "right, or use a model that predicts in any order",
                item,
            )
        if cloze.start_id is None and 0 not in cloze.seen:
            raise InputError(
                "without a start symbol a causal model has no distribution of the first token, so it must be given, or first "
                "in the order; use a start symbol (start='bos', 'eos' or a token id) for any other order",
                item,
            )
        ids = cloze.ids_L[read]
        if ((ids < 0) | (ids >= size)).any():
            raise InputError(
                f"token id {ids[(ids < 0) | (ids >= size)][0]} is out of range; the model's ids are 0 … {size - 1}", item
            )


def _logsumexp(logs_VK: Floats) -> Floats:
    """The log-sum-exp of each row; −inf if all of the row is."""
    top_V = logs_VK.max(1)
    floor_V = np.where(top_V > -np.inf, top_V, 0.0)
    with np.errstate(divide="ignore"):
        return floor_V + np.log(np.exp(logs_VK - floor_V[:, None]).sum(1))


def _block(logprob_V: Floats, token: int) -> Block:
    """One conditional distribution, for reductions."""
    logits_MV, zero_M, row_F, token_F = map(torch.from_numpy, (logprob_V[None], np.zeros(1), np.array([0]), np.array([token])))
    return Block(logits_MV, zero_M, *of_logprobs(logits_MV), row_F, token_F)
