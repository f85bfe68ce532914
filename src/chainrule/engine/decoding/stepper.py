"""One path that grows: the distribution of the next token, each time after the tokens that came.

On the forest path keys and values of all tokens before are carried, as they are between two chunks of a forest, so a token
costs one row. A model that only its own forward can run is run on the whole path again.

Shapes: R fresh tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from chainrule._types import Floats
from chainrule.engine.attention.kv_cache import KVCache
from chainrule.engine.attention.layout import Layout
from chainrule.engine.engine import Engine
from chainrule.engine.execution import run_chunk
from chainrule.engine.head.readout import workspace
from chainrule.forest.chunks import extension
from chainrule.ops.sealed import sealed

_AT_FIRST = 4096  # tokens of the first buffers


class Stepper:
    """Grows a path of at most `length` tokens under one engine, its start symbol included."""

    def __init__(self, engine: Engine, length: int) -> None:
        self.engine, self.model, self.length = engine, engine.model, length
        self.ids: list[int] = []
        self._carry = KVCache(min(length, _AT_FIRST))  # a length may be a mere claim; the buffers grow where they must
        self._workspace = workspace(self.model.head, self.model.device)

    @sealed
    def feed(self, ids: Sequence[int]) -> Floats:
        """log Pr(v | all tokens so far, and these) for every v of the vocabulary: V. Raises ModelError where it is NaN."""
        if not ids or len(self.ids) + len(ids) > self.length:
            raise ValueError(f"{len(ids)} tokens do not fit behind {len(self.ids)} of a path of {self.length}")
        hidden_RH = (
            self._forest(ids)
            if self.engine.strategy == "forest"
            else self.model.hidden(self._inputs([*self.ids, *ids])[None])[0]
        )
        self.ids += ids
        return self.engine.read(hidden_RH[-1:], self._workspace)[0]

    def _forest(self, ids: Sequence[int]) -> torch.Tensor:
        chunk = extension(len(self.ids), len(ids))
        return run_chunk(self.model, chunk, Layout(chunk, self._carry, self.model.device), self._inputs(ids))

    def _inputs(self, ids: Sequence[int]) -> torch.Tensor:
        self.engine.refuse_unfit(np.array(ids, np.int64))
        return self.model.inputs(torch.tensor(ids, dtype=torch.int64, device=self.model.device))
