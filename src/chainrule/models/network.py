"""What every network of transformers has that is run by its own forward, whole texts at a time: a trunk and a head.

Shapes: B texts, T places, M rows, H width of a hidden state, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from chainrule.errors import ModelError
from chainrule.models.base import Head
from chainrule.models.head import OwnHead
from chainrule.models.pretrained import Output, longest_context, reserved_positions, trunk_of, widened
from chainrule.models.products import SameBits

_SYMBOLS = ("mask", "cls", "sep", "bos", "eos", "pad", "unk")


class Network:
    """A trunk that is fed with token ids, and the model's own head on the hidden states of chosen places."""

    dtype_reason: str = ""  # why it was loaded in this type, where that was left to choose
    by_ids = True  # no embeddings can stand for tokens here

    def __init__(self, lm: Any, name: str) -> None:
        self.name, self.lm = name, lm.eval()
        config, table = lm.config.get_text_config(), lm.get_input_embeddings()
        self.trunk = trunk_of(lm, table)[1]
        if self.trunk is lm or not isinstance(table, nn.Module):
            raise ModelError(f"{name} ({type(lm).__name__}) has no trunk and head that can be told apart")
        self._table, weight = table, next(table.parameters())  # n × D
        self.embeddings, self.width = weight.shape
        self.device: torch.device = weight.device
        self.dtype: torch.dtype = weight.dtype
        self.max_rows = longest_context(config)
        if self.max_rows:
            self.max_rows -= reserved_positions(self.trunk, table, self.max_rows)
        self.symbols = {kind: getattr(config, f"{kind}_token_id", None) for kind in _SYMBOLS}  # ids, by the config alone
        self.bos_id, self.eos_id = self.symbols["bos"], self.symbols["eos"]
        self.head: Head = OwnHead(self._own_head, config.vocab_size, self.dtype)

    def embed(self, ids_N: Tensor) -> Tensor:
        return self._table(ids_N.to(self.device))

    def inputs(self, ids_N: Tensor) -> Tensor:
        return ids_N.to(self.device)

    def hidden(self, inputs_BTD: Tensor, **layout: Any) -> Tensor:
        """Hidden states, B × T × H, of texts of one length; here `inputs_BTD` are ids, B × T."""
        with SameBits():
            return self.trunk(input_ids=inputs_BTD.to(self.device), **layout)[0]

    def widened(self, dtype: torch.dtype | None = torch.float32) -> AbstractContextManager[None]:
        """In a wider type for a while (None: as it is)."""
        return widened(self.lm, dtype)

    def _own_head(self, hidden_MH: Tensor) -> Tensor:
        """The model's own forward behind its trunk: whatever it does to hidden states to make logits of them."""
        with _done(self.trunk, hidden_MH[None]), SameBits():
            return self.lm(inputs_embeds=hidden_MH[None]).logits[0]


@contextmanager
def _done(trunk: nn.Module, hidden_BMH: Tensor) -> Iterator[None]:
    """Have the trunk give these hidden states for a while. It stays in place: some heads use its embeddings (DeBERTa)."""
    output, own = Output(last_hidden_state=hidden_BMH), trunk.__dict__.get("forward")
    trunk.__dict__["forward"] = lambda *args, **kwargs: output
    try:
        yield
    finally:
        del trunk.__dict__["forward"]
        if own is not None:  # somebody else had put one there
            trunk.__dict__["forward"] = own
