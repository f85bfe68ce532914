"""The meaning of the symbols of a forest: the token that each is scored as, and the input of the network for it.

A forest only compares symbols for equality, so two contexts that differ must differ in their symbols.

Shapes: N symbols, I of them embeddings; D width of an embedding, M embeddings passed in place of tokens, U distinct triples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np
import torch
from torch import Tensor

from chainrule._types import Ints
from chainrule.models.base import Model
from chainrule.ops.transfer import sent, together

if TYPE_CHECKING:
    from chainrule.models.any_order import AnyOrderModel


class Alphabet(Protocol):
    """The meaning of symbols. A symbol is any int32."""

    def tokens(self, symbol_N: Ints) -> Ints:
        """The token ids that the symbols are scored as."""
        ...

    def inputs(self, model: Model, symbol_N: Ints) -> Tensor:
        """The inputs of `model.hidden` for the symbols, on the model's device: N × D, or N token ids."""
        ...


@dataclass(frozen=True)
class Tokens:
    """Every symbol is a token id."""

    def tokens(self, symbol_N: Ints) -> Ints:
        return symbol_N

    def inputs(self, model: Model, symbol_N: Ints) -> Tensor:
        return model.inputs(sent(symbol_N, model.device))


@dataclass(frozen=True)
class TokensAndEmbeddings:
    """A symbol ≥ 0 is a token id. A symbol < 0 is row −1 − symbol of the embeddings passed in place of tokens."""

    embedding_MD: Tensor
    id_M: Ints  # the tokens that the embeddings are scored as

    def tokens(self, symbol_N: Ints) -> Ints:
        return np.where(symbol_N >= 0, symbol_N, self.id_M[np.maximum(-1 - symbol_N, 0) % len(self.id_M)])

    def inputs(self, model: Model, symbol_N: Ints) -> Tensor:
        index_I = np.flatnonzero(symbol_N < 0)
        host = np.maximum(symbol_N, 0), index_I, -1 - symbol_N[index_I]
        id_N, index_I, row_I = together([torch.from_numpy(x) for x in host], model.device)
        embedding_ND = model.inputs(id_N)
        embedding_ND[index_I] = self.embedding_MD[row_I].to(embedding_ND)
        return embedding_ND


@dataclass(frozen=True)
class PositionedTokens:
    """A symbol is a row of a table of triples: a token, its position, and the position to predict (−1: none)."""

    triple_U3: Ints

    @classmethod
    def of(cls, triple_N3: Ints) -> tuple[PositionedTokens, Ints]:
        """The alphabet of these triples, and the symbol of each."""
        triple_U3, symbol_N = np.unique(triple_N3.reshape(-1, 3), axis=0, return_inverse=True)
        return cls(triple_U3), symbol_N.reshape(-1)

    def tokens(self, symbol_N: Ints) -> Ints:
        return self.triple_U3[symbol_N, 0]

    def inputs(self, model: Model, symbol_N: Ints) -> Tensor:
        return cast("AnyOrderModel", model).placed(*torch.from_numpy(self.triple_U3[symbol_N]).unbind(-1))
