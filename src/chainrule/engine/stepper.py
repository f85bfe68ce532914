"""One path that grows: the distribution of the next token, each time after the tokens that came.

On the forest path keys and values of all tokens before are carried, as they are between two chunks of a forest, so a token
costs one row. A model that only its own forward can run is run on the whole path again.

Shapes: R fresh tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from chainrule.engine.attention import Layout, PathCarry
from chainrule.engine.engine import Engine, refuse_nan
from chainrule.engine.readout import Distributions, room
from chainrule.forest.chunks import extension


class Stepper:
    """Grows a path of at most `length` tokens under one engine, its start symbol included."""

    def __init__(self, engine: Engine, length: int) -> None:
        self.engine, self.model, self.length = engine, engine.model, length
        self.ids: list[int] = []
        self._carry = PathCarry(length)
        self._room = room(self.model.head, self.model.device)

    @torch.inference_mode()
    def feed(self, ids: Sequence[int]) -> NDArray[np.float64]:
        """log Pr(v | all tokens so far, and these) for every v of the vocabulary: V. Raises ModelError where it is NaN."""
        if not ids or len(self.ids) + len(ids) > self.length:
            raise ValueError(f"{len(ids)} tokens do not fit behind {len(self.ids)} of a path of {self.length}")
        hidden_RH = self._forest(ids) if self.engine.path == "forest" else self._whole(ids)
        self.ids += ids
        at = Distributions.at(self.model.head, hidden_RH[-1:], self._room)
        logprob_V = (at.logits_MV[0].double() - at.logsumexp_M[0]).cpu().numpy()
        refuse_nan(logprob_V, self.model.name)
        return logprob_V

    def _forest(self, ids: Sequence[int]) -> torch.Tensor:
        chunk = extension(len(self.ids), len(ids))
        position = torch.from_numpy(chunk.depth_R).to(self.model.device)[None]
        with Layout(chunk, self._carry, self.model.device).at_hand():
            hidden_RH = self.model.hidden(self._embed(ids), position_ids=position)[0]
        self._carry.settle(chunk)
        return hidden_RH

    def _whole(self, ids: Sequence[int]) -> torch.Tensor:
        return self.model.hidden(self._embed([*self.ids, *ids]))[0]

    def _embed(self, ids: Sequence[int]) -> torch.Tensor:
        return self.model.inputs(torch.tensor(ids, device=self.model.device))[None]
