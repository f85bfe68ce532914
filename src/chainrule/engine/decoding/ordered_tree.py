"""A decoding tree whose paths fill the positions of a text in an order of prediction.

Shapes: B nodes, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from chainrule._types import Floats
from chainrule.engine.decoding.base import NextTokens
from chainrule.engine.decoding.rerun import PathTree
from chainrule.engine.head.moments import of_logprobs
from chainrule.errors import InputError
from chainrule.forest.permutations import OrderedSequence

# An order, and the tokens at its first positions for B nodes → B × V
Conditionals = Callable[[OrderedSequence, list[tuple[int, ...]]], Floats]


class ConditionalTree(PathTree):
    """For predictors that compute each conditional separately, by a pass of the network or by a sum."""

    def __init__(self, conditionals: Conditionals, ordered: OrderedSequence) -> None:
        super().__init__()
        self.conditionals, self.ordered = conditionals, ordered

    def _at(self, nodes: list[int]) -> NextTokens:
        try:
            logprob_BV = self.conditionals(self.ordered, [self._ids_N[node] for node in nodes])
        except InputError as error:
            raise InputError(error.reason) from None  # node numbers are internal
        logits_BV = torch.from_numpy(logprob_BV)
        return NextTokens(nodes, logits_BV, torch.from_numpy(np.zeros(len(nodes))), *of_logprobs(logits_BV))
