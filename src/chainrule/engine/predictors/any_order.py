"""A model that predicts in any order, on the forest engine: a context is a path of tokens with their positions.

A row is computed from (token, position, target position), so these triples are the symbols of the forest. Texts and orders
with the same beginning share rows. Later tokens of an order are below a row in the forest, where they have no effect on it.

Shapes: L positions of a sequence, G of them given, N triples or nodes, T factors, B questions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from chainrule._types import Floats, Ints
from chainrule.engine.decoding.base import DecodingTree
from chainrule.engine.decoding.rerun import RerunTree
from chainrule.engine.decoding.tree import ForestTree
from chainrule.engine.engine import Engine
from chainrule.engine.head.asked import NONE, AskedTokens
from chainrule.engine.inputs.node_inputs import PositionedTokens
from chainrule.engine.predictors.base import Accepts, Cloze, Support
from chainrule.engine.predictors.in_order import EMBEDDINGS, InOrder, no_pseudo
from chainrule.engine.question import DEFAULTS, Answer, Question, Settings
from chainrule.engine.selfcheck.invariance import invariance_of
from chainrule.errors import InputError, ModelError
from chainrule.forest.forest import Forest, offsets, ranges
from chainrule.forest.permutations import OrderedSequence
from chainrule.models.any_order import AnyOrderModel
from chainrule.verdict import Verdict


class AnyOrderPredictor(InOrder):
    """Factors in any order under an any-order model. Left to right, it is an ordinary causal model."""

    causal = True  # left to right, no factor depends on the length of the text
    how = "the model gets each token with its position and the position to predict, and sees only tokens earlier in the order"
    support = Support()

    def __init__(self, engine: Engine) -> None:
        model = engine.model
        if not isinstance(model, AnyOrderModel):
            raise ModelError(f"{model.name} is not an any-order model: it has no tables of positions and targets")
        if model.by_ids:
            raise ModelError(
                f"the trunk of {model.name} looks tokens up in several tables, so positions cannot be added to their embeddings"
            )
        self.engine, self.model, self.strategy, self.reason = engine, model, engine.strategy, engine.reason
        self.accepts = Accepts(
            embeddings=Verdict(False, EMBEDDINGS),
            left_to_right=Verdict(
                False,
                f"{model.name} predicts in any order, and this compares causal models with their own left-to-right forward; "
                "score it (order=...), or verify a causal model",
            ),
            pseudo=no_pseudo(model.name, engine.strategy),
        )

    @property
    def invariance(self) -> Verdict:
        """Whether a factor has the same bits in any batch."""
        return invariance_of(self.engine)

    def answer_in_order(
        self, sequences: list[OrderedSequence], settings: Settings = DEFAULTS, asked: AskedTokens = NONE
    ) -> Answer:
        """Every factor of every sequence, in the order of prediction, one sequence after another.

        Raises InputError, with the item, if a sequence does not fit into the model's positions or context, or if its first
        factor has no context.
        """
        question, node_T = self.question(sequences)
        of_nodes, order_X = asked.renumbered(node_T)
        answer = self.engine.answer(replace(question, asked=of_nodes), settings).at(node_T)
        return replace(answer, asked=answer.asked.sorted_back(order_X))

    def question(self, sequences: Sequence[OrderedSequence]) -> tuple[Question, Ints]:
        """The question for the engine, and the node of every factor, in the order of prediction. Raises InputError."""
        for item, sequence in enumerate(sequences):
            self.check(sequence.fed_L, len(sequence.fed_L), sequence.start_id, len(sequence.given_G), item)
        triples = [_triples(s.ids_L, s.fed_L, s.start_id) for s in sequences]
        return _question(triples, [len(s.order_T) for s in sequences])

    def conditionals(self, clozes: list[Cloze], *, rows: int | None = None, temperature: float = 1.0) -> Floats:
        """log Pr(v | seen) for every v of the vocabulary, B × V. Raises InputError as `answer_in_order` does."""
        triples = []
        for item, cloze in enumerate(clozes):
            fed = np.append(cloze.seen, cloze.target)
            if len(np.unique(fed)) < len(fed):
                raise InputError(f"position {cloze.target} after the positions {cloze.seen.tolist()}: one is named twice", item)
            self.check(fed, len(cloze.ids_L), cloze.start_id, len(cloze.seen), item)
            triples.append(_triples(np.append(cloze.ids_L, 0), fed, cloze.start_id))
        question, node_B = _question(triples, [1] * len(clozes))
        return self.engine.distributions(question, question.forest.parent_N[node_B], rows=rows, temperature=temperature)

    def ordered_tree(self, ordered: OrderedSequence) -> DecodingTree:
        """Continuations in an order. With the forest strategy, each token takes one row."""
        self.check(ordered.fed_L, len(ordered.fed_L), ordered.start_id, len(ordered.given_G), None)
        start = [] if ordered.start_id is None else [ordered.start_id]
        position = np.concatenate([np.full(len(start), -1), ordered.fed_L])  # of the input token, by depth
        target = np.append(position[1:], -1)  # the position predicted from it

        def feed(token_B: Ints, depth_B: Ints) -> Tensor:
            self.engine.refuse_unfit(token_B)
            return self.model.placed(
                torch.from_numpy(token_B), torch.from_numpy(position[depth_B]), torch.from_numpy(target[depth_B])
            )

        prefix = [*start, *ordered.ids_L[ordered.given_G].tolist()]
        return (ForestTree if self.strategy == "forest" else RerunTree)(self.engine, prefix, feed)

    def check(self, fed: Ints, length: int, start_id: int | None, given: int, item: int | None) -> None:
        """Raises InputError for a text that does not fit, or whose first factor has no context."""
        if max(length, int(fed.max(initial=0)) + 1) > self.model.places:
            raise InputError(
                f"it has {max(length, int(fed.max(initial=0)) + 1)} tokens, and the model has {self.model.places} positions; "
                "shorten it (windows are for causal models: positions change from one window to the next)",
                item,
            )
        seen, most = len(fed) - 1 + (start_id is not None), self.model.max_rows
        if most is not None and seen > most:
            raise InputError(
                f"its last factor has a context of {seen} embeddings, and the model takes {most}: shorten it", item
            )
        if start_id is None and not given:
            raise InputError(
                "without a start symbol the first factor has no context: give the first token in the order, or use a start "
                "symbol (start='bos', 'eos' or a token id)",
                item,
            )


def _triples(ids_L: Ints, fed: Ints, start_id: int | None) -> Ints:
    """(token, position, target position) of every row and of the last token, which has no target: N × 3; −1 for none."""
    start = [] if start_id is None else [start_id]
    token_N = np.concatenate([np.array(start, np.int64), ids_L[fed]])
    position_N = np.concatenate([np.full(len(start), -1), fed])
    return np.stack([token_N, position_N, np.append(position_N[1:], -1)], -1)


def _question(triples: Sequence[Ints], factors: Sequence[int]) -> tuple[Question, Ints]:
    """One forest of all sequences of triples, and the nodes of the last `factors` factors of each."""
    alphabet, symbol_N = PositionedTokens.of(np.concatenate([np.zeros((0, 3), np.int64), *triples]))
    offset_S1, count_S = offsets([len(each) for each in triples]), np.array(factors, np.int64)
    forest = Forest.lay_out(symbol_N, offset_S1)
    node_T = forest.path_T[ranges(offset_S1[1:] - count_S, count_S)]
    wanted_N = np.zeros(len(forest), bool)
    wanted_N[node_T] = True
    return Question(forest, wanted_N, alphabet), node_T
