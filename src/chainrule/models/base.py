"""o = g(x_0 … x_m; θ): the one interface of every model, x → e → h → z.

    embed   x → e    token ids to embeddings
    hidden  e → h    embeddings of the context to hidden states, each from the embeddings up to its own place
    head    h → z    hidden states to logits over the vocabulary; their softmax is the conditional distribution

Shapes: B sequences, T places, D width of an embedding, H width of a hidden state, M rows, V vocabulary.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor


class Head(Protocol):
    """h → z, a tile of the vocabulary at a time."""

    size: int  # V
    tile: int  # how many columns one call of `write` should fill: V where the head cannot be tiled
    dtype: torch.dtype  # of the logits: float32, or float64 for a float64 model; never narrower

    def write(self, hidden_MH: Tensor, first: int, logits_MV: Tensor, rows: int = ...) -> None:
        """Write the logits of tokens first … first + width − 1 into `logits_MV` (M × width), `rows` of them at a time."""
        ...


class Model(Protocol):
    """A network that gives Pr(x_i | e_0 … e_{i−1}) for every i."""

    name: str
    head: Head
    width: int  # D
    max_rows: int | None  # the longest context it can take, in embeddings; None where there is no bound
    bos_id: int | None
    eos_id: int | list[int] | None
    embeddings: int  # how many ids have an embedding; V, or more where a start symbol is never predicted
    by_ids: bool  # whether it looks tokens up by itself, in more than one table: then no embeddings can stand for them
    unfit: tuple[int, ...]  # ids that mean something else to it within a text than a token, and must not be fed
    dtype: torch.dtype
    dtype_reason: str  # why it was loaded in this type, where that was left to choose

    @property
    def device(self) -> torch.device: ...

    def embed(self, ids_N: Tensor) -> Tensor:
        """Token embeddings, N × D, without the position."""
        ...

    def inputs(self, ids_N: Tensor) -> Tensor:
        """What `hidden` takes for these tokens: their embeddings, or, where `by_ids` is true, just the ids, N."""
        ...

    def hidden(self, inputs_BTD: Tensor, *, same_bits: bool = True, **layout: Any) -> Tensor:
        """Hidden states, B × T × H, by the model's own forward: each sees the places before it and itself.

        same_bits: take care that a row's bits do not depend on the rows beside it, which costs time where rows are few.
        """
        ...
