"""Two-stream networks (XLNet): one pass gives the factors of a whole text, in any order.

The content stream reads tokens: each position sees itself and the positions that became known before it. The query stream
does not read the token at its own position: it sees only the positions that became known before, and predicts. The network
is transformers' own code, unchanged. It is recognised by the parameters of its forward.

Shapes: B texts, L positions, T targets, H width of a hidden state, V vocabulary.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from chainrule.models.head import LinearHead
from chainrule.models.transformer import Network
from chainrule.ops.sealed import sealed, within


def is_two_stream(lm: Any) -> bool:
    """Whether this network takes permutation masks and targets, and is not restricted to one direction (attn_type "uni")."""
    parameters = inspect.signature(type(lm).forward).parameters
    return {"perm_mask", "target_mapping"} <= set(parameters) and getattr(lm.config, "attn_type", "bi") != "uni"


class TwoStreamModel(Network):
    """A content stream that reads, and a query stream that predicts."""

    def __init__(self, lm: Any, name: str) -> None:
        super().__init__(lm, name)
        output = lm.get_output_embeddings()
        if isinstance(output, torch.nn.Linear):
            self.head = LinearHead.of(output, lm.config)

    def queries(self, ids_BL: Tensor, masked_BLL: Tensor, target_BTL: Tensor) -> Tensor:
        """Hidden states of the query stream, B × T × H.

        masked_BLL: 1 where position i (row) must not see position j (column). The content stream also sees its own position.
        target_BTL: for each target, 1 at its position.
        """
        return within(_OneDtype(), partial(self.hidden, ids_BL, use_mems=False, **self._masks(masked_BLL, target_BTL)))

    @sealed
    def own_target_logits(self, ids_L: Tensor, masked_LL: Tensor, target_TL: Tensor) -> Tensor:
        """The reference: the model's own whole forward of one text. T × V."""
        masks = self._masks(masked_LL[None], target_TL[None])
        forward = partial(self.reference, input_ids=ids_L[None].to(self.device), use_mems=False, **masks)
        return within(self.mode(same_bits=False), partial(within, _OneDtype(), forward)).logits[0]

    def _masks(self, masked_BLL: Tensor, target_BTL: Tensor) -> dict[str, Tensor]:
        return {"perm_mask": masked_BLL.to(self.device, self.dtype), "target_mapping": target_BTL.to(self.device, self.dtype)}


class _OneDtype(TorchFunctionMode):
    """Casts the factors of a product to one dtype. XLNet multiplies float32 positions with narrower or wider weights."""

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        if func is torch.einsum:
            args = (args[0], *(factor.to(args[-1].dtype) for factor in args[1:]))
        return func(*args, **(kwargs or {}))
