"""Decoding trees without cached keys: each node is stored as its tokens and computed from the start symbol.

Shapes: B nodes, T tokens of a path, V vocabulary.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from chainrule.engine.decoding.base import Feed, NextTokens, read_next
from chainrule.engine.engine import Engine
from chainrule.ops.matmul import usual_rows
from chainrule.ops.sealed import sealed


class PathTree(ABC):
    """Stores each node as its tokens after the prefix."""

    exact = False
    cached_prefix = None

    def __init__(self) -> None:
        self._ids_N: list[tuple[int, ...]] = [()]

    def root(self) -> NextTokens:
        return self._root

    @cached_property
    def _root(self) -> NextTokens:
        return self._at([0])

    def extend(self, parent_B: Sequence[int], token_B: Sequence[int]) -> NextTokens:
        first = len(self._ids_N)
        self._ids_N += [(*self._ids_N[parent], token) for parent, token in zip(parent_B, token_B, strict=True)]
        return self._at(list(range(first, len(self._ids_N))))

    @abstractmethod
    def _at(self, nodes: list[int]) -> NextTokens:
        """The distributions at these nodes."""


class RerunTree(PathTree):
    """For models on the batch or single strategy: every path is computed from the start symbol."""

    def __init__(self, engine: Engine, prefix: Sequence[int], feed: Feed) -> None:
        super().__init__()
        self.model, self.feed, self.padded, self.prefix = engine.model, feed, engine.strategy == "batch", tuple(prefix)

    @sealed
    def _at(self, nodes: list[int]) -> NextTokens:
        hidden: dict[int, Tensor] = {}
        path = {node: (*self.prefix, *self._ids_N[node]) for node in nodes}
        for length in sorted(set(map(len, path.values()))):
            same_length = [node for node in nodes if len(path[node]) == length]
            count = max(1, usual_rows(self.model) // length) if self.padded else 1
            for batch in (same_length[i : i + count] for i in range(0, len(same_length), count)):
                ids_BT = np.array([path[node] for node in batch], np.int64)
                depth_BT = np.tile(np.arange(length), len(batch))
                inputs_BTD = self.feed(ids_BT.reshape(-1), depth_BT).unflatten(0, ids_BT.shape)
                hidden |= zip(batch, self.model.hidden(inputs_BTD, same_bits=False)[:, -1], strict=True)
        return read_next(self.model, torch.stack([hidden[node] for node in nodes]), nodes, same_bits=False)
