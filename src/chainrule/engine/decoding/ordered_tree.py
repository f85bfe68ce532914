"""A grove whose paths are texts in an order of prediction: a token is added in the place that comes next in that order.

Shapes: L places of a text, B nodes, V vocabulary.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from chainrule._types import Ints
from chainrule.engine.decoding.tree import Grove, Grown, PathGrove, grove_of
from chainrule.engine.predictors.any_order import AnyOrderChain
from chainrule.engine.predictors.base import Chain, Place
from chainrule.errors import InputError
from chainrule.forest.permutations import Ordered


def ordered_grove(chain: Chain, ordered: Ordered) -> Grove:
    """What grows in the places `ordered.order_T` of a text whose others are given. An any-order model runs one row a token."""
    if not isinstance(chain, AnyOrderChain):
        return ChainGrove(chain, ordered)
    chain.check(ordered.fed_L, len(ordered.fed_L), ordered.start_id, len(ordered.given_G), None)
    start = [] if ordered.start_id is None else [ordered.start_id]
    position = np.concatenate([np.full(len(start), -1), ordered.fed_L])  # by depth: the place of the token that is fed …
    target = np.append(position[1:], -1)  # … and the place that is asked about behind it

    def feed(token_B: Tensor, depth_B: Ints) -> Tensor:
        return chain.model.placed(token_B, torch.from_numpy(position[depth_B]), torch.from_numpy(target[depth_B]))

    return grove_of(chain.engine, [*start, *ordered.ids_L[ordered.given_G].tolist()], feed)


class ChainGrove(PathGrove):
    """Where every conditional is a pass, or a sum, of its own: masked and two-stream models, and causal ones by sums."""

    def __init__(self, chain: Chain, ordered: Ordered) -> None:
        super().__init__()
        self.chain, self.ordered = chain, ordered

    def _at(self, nodes: list[int]) -> Grown:
        try:
            logprob_BV = self.chain.conditionals([self._place(self._ids_N[node]) for node in nodes])
        except InputError as error:
            raise InputError(error.reason) from None  # which of the nodes it is about says nothing to a user
        possible_BV = np.where(logprob_BV > -np.inf, logprob_BV, 0.0)
        entropy_B = -(np.exp(logprob_BV) * possible_BV).sum(1)
        return Grown(nodes, torch.from_numpy(logprob_BV), torch.from_numpy(np.zeros(len(nodes))), torch.from_numpy(entropy_B))

    def _place(self, ids: tuple[int, ...]) -> Place:
        ids_L, order_T = self.ordered.ids_L.copy(), self.ordered.order_T
        ids_L[order_T[: len(ids)]] = ids
        if len(ids) >= len(order_T):
            raise InputError(f"all {len(order_T)} places are filled: there is none left to grow in")
        return Place(ids_L, self.ordered.seen(len(ids)), int(order_T[len(ids)]), self.ordered.start_id)
