"""o = g(x_0 … x_m; θ): the interface that every model implements, x → e → h → z.

    embed   x → e    token ids to embeddings
    hidden  e → h    embeddings to hidden states, each computed from the embeddings up to its own position
    head    h → z    hidden states to logits over the vocabulary; their softmax is the conditional distribution

Shapes: B sequences, T positions, D width of an embedding, H width of a hidden state, M rows, V vocabulary.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor


class Head(Protocol):
    """h → z, one tile of the vocabulary at a time."""

    size: int  # V
    tile: int  # columns that one call of `write` should fill; V if the head cannot be tiled
    dtype: torch.dtype  # of the logits: float32, or float64 for a float64 model; never narrower

    def write(self, hidden_MH: Tensor, first: int, logits_MV: Tensor, rows: int = ...) -> None:
        """Write the logits of tokens first … first + width − 1 to `logits_MV` (M × width), `rows` rows at a time."""
        ...


class Model(Protocol):
    """A network that computes Pr(x_i | e_0 … e_{i−1}) for every i."""

    name: str
    head: Head
    width: int  # D
    max_rows: int | None  # the longest context, in embeddings; None if there is no bound
    bos_id: int | None
    eos_id: int | list[int] | None
    embeddings: int  # number of ids with an embedding: V, or more if a start symbol is never predicted
    by_ids: bool  # whether it takes token ids, which it looks up in more than one table, instead of embeddings
    unfit: tuple[int, ...]  # ids that the network does not treat as tokens of a text, and that must not be fed
    dtype: torch.dtype
    dtype_reason: str  # why this type was chosen, if the caller did not choose one

    @property
    def device(self) -> torch.device: ...

    def embed(self, ids_N: Tensor) -> Tensor:
        """Token embeddings, N × D, without positions."""
        ...

    def inputs(self, ids_N: Tensor) -> Tensor:
        """The input of `hidden` for these tokens: their embeddings, N × D, or their ids, N, if `by_ids` is true."""
        ...

    def hidden(self, inputs_BTD: Tensor, *, same_bits: bool = True, **layout: Any) -> Tensor:
        """Hidden states, B × T × H, by the model's own forward: each position sees itself and those before it.

        same_bits: compute row-invariant results, which costs time if there are few rows.
        """
        ...
