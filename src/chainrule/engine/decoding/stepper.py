"""One growing path: the distribution of the next token after each extension.

With the forest strategy, the keys and values of all earlier tokens are cached, as between two chunks of a forest, so a token
costs one row. With the other strategies, the whole path is computed again.

Shapes: R new tokens, V vocabulary, H width of a hidden state.
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
from chainrule.ops.transfer import sent

_INITIAL = 4096  # most tokens of the initial buffers


class Stepper:
    """A path of at most `length` tokens, start symbol included, that grows under one engine."""

    def __init__(self, engine: Engine, length: int) -> None:
        self.engine, self.model, self.length = engine, engine.model, length
        self.ids: list[int] = []
        self._cache = KVCache(min(length, _INITIAL))  # a path may stay far shorter than `length`; buffers grow as needed
        self._workspace = workspace(self.model.head, self.model.device)

    @sealed
    def feed(self, ids: Sequence[int]) -> Floats:
        """Append tokens. Returns log Pr(v | all tokens so far) for every token v of the vocabulary, V.

        Raises ValueError if the tokens do not fit, and ModelError on NaN.
        """
        if not ids or len(self.ids) + len(ids) > self.length:
            raise ValueError(f"{len(ids)} tokens do not fit after {len(self.ids)} of a path of {self.length}")
        hidden_RH = (
            self._forest(ids)
            if self.engine.strategy == "forest"
            else self.model.hidden(self._inputs([*self.ids, *ids])[None])[0]
        )
        self.ids += ids
        return self.engine.read(hidden_RH[-1:], self._workspace)[0]

    def _forest(self, ids: Sequence[int]) -> torch.Tensor:
        chunk = extension(len(self.ids), len(ids))
        return run_chunk(self.model, chunk, Layout(chunk, self._cache, self.model.device), self._inputs(ids))

    def _inputs(self, ids: Sequence[int]) -> torch.Tensor:
        id_R = np.array(ids, np.int64)
        self.engine.refuse_unfit(id_R)
        return self.model.inputs(sent(id_R, self.model.device))
