"""Two ways through the network, which give the same factors.

    forest   the contexts of the whole forest in preorder, a chunk at a time: every distinct context once
    batch    root-to-leaf contexts through the model's own forward, right-padded (state-space models, relative biases …)
    single   the same, one sequence at a time, for models that padding disturbs

Each yields hidden states with the factors that are read off them. Shapes: R rows, B sequences, T places, D width of an
embedding, H of a hidden state, F factors, N nodes of the forest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor

from chainrule._types import Bools, Ints
from chainrule.engine.attention.kv_cache import KVCache
from chainrule.engine.attention.layout import Layout, RowsLayout
from chainrule.forest import Chunk, Forest, chunks
from chainrule.models.base import Model
from chainrule.ops.transfer import sent

Embed = Callable[[Ints], Tensor]  # nodes of the forest → their embeddings


@dataclass(frozen=True)
class Step:
    """Hidden states of R rows; factor f belongs to node_F[f] and is read off row row_F[f] (ascending)."""

    hidden_RH: Tensor
    row_F: Ints
    node_F: Ints
    rows: int  # contexts that were computed, padding included
    new: int  # … and how many of them for the first time


@dataclass(frozen=True)
class Begun:
    """The first rows of a forest, all on one path, have run: their keys and values lie in `carry`, root first."""

    carry: KVCache
    rows: int


def forest_path(
    model: Model, forest: Forest, wanted_N: Bools, embed: Embed, rows: int, begun: Begun | None = None
) -> Iterator[Step]:
    """Chunks of `rows` contexts in preorder, with the path carried in between, behind what has `begun`."""
    begun = begun or Begun(KVCache(int(forest.depth_N.max(initial=0)) + rows), 0)
    carry = begun.carry
    for chunk in chunks(forest, wanted_N, rows, begun.rows):
        hidden = run_chunk(model, chunk, Layout(chunk, carry, model.device), embed(chunk.node_R))
        yield Step(hidden, chunk.row_F, chunk.node_F, len(chunk), len(chunk))


def run_chunk(model: Model, chunk: Chunk, layout: Layout, inputs_RD: Tensor) -> Tensor:
    """Hidden states of the rows of a chunk, R × H; what is carried is then that of the next chunk's path."""
    hidden_RH = run_rows(model, chunk.depth_R, layout, inputs_RD)
    layout.cache.keep_path(chunk)
    return hidden_RH


def run_rows(model: Model, depth_R: Ints, layout: RowsLayout, inputs_RD: Tensor, *, same_bits: bool = True) -> Tensor:
    """Hidden states of rows at these depths, R × H; their keys and values are still to be settled."""
    position = sent(depth_R, model.device)[None]
    return layout.as_current(partial(model.hidden, inputs_RD[None], same_bits=same_bits, position_ids=position))[0]


def batch_path(
    model: Model, forest: Forest, wanted_N: Bools, embed: Embed, rows: int, *, padded: bool = True
) -> Iterator[Step]:
    """Batches of at most `rows` places (or one sequence), longest first; a shared context is read where it comes first."""
    factors = _factors_by_context(forest, wanted_N)
    seen_N = np.zeros(len(forest), bool)
    for leaves in _batches(_last_contexts(forest), forest.depth_N, rows, padded):
        path_B = [np.append(forest.ancestors(leaf), leaf) for leaf in leaves]
        length = max(len(path) for path in path_B)
        node_BT = np.stack([np.pad(path, (0, length - len(path)), mode="edge") for path in path_B])
        seen_BT = np.arange(length) < np.array([[len(path)] for path in path_B])
        mask = sent(seen_BT, model.device)
        extra: dict[str, Any] = {} if seen_BT.all() else {"attention_mask": mask.long()}
        hidden = model.hidden(embed(node_BT.reshape(-1)).unflatten(0, node_BT.shape), **extra)
        row_F, node_F, new = _first_reading(path_B, length, seen_N, factors)
        yield Step(hidden.flatten(0, 1), row_F, node_F, node_BT.size, new)


def _factors_by_context(forest: Forest, wanted_N: Bools) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for node in np.flatnonzero(wanted_N).tolist():
        found.setdefault(int(forest.parent_N[node]), []).append(node)
    return found


def _last_contexts(forest: Forest) -> list[int]:
    """The contexts that no other context extends."""
    is_context_N = forest.end_N > np.arange(len(forest)) + 1
    extended_N = np.zeros(len(forest), bool)
    above = forest.parent_N[is_context_N]
    extended_N[above[above >= 0]] = True
    return np.flatnonzero(is_context_N & ~extended_N).tolist()


def _batches(leaves: list[int], depth_N: Ints, rows: int, padded: bool) -> Iterator[list[int]]:
    leaves = sorted(leaves, key=lambda leaf: (-int(depth_N[leaf]), leaf))
    while leaves:
        count = max(1, rows // (int(depth_N[leaves[0]]) + 1)) if padded else 1
        yield leaves[:count]
        leaves = leaves[count:]


def _first_reading(path_B: list[Ints], length: int, seen_N: Bools, factors: dict[int, list[int]]) -> tuple[Ints, Ints, int]:
    row_F, node_F, new = [], [], 0
    for b, path in enumerate(path_B):
        for t in np.flatnonzero(~seen_N[path]).tolist():
            here = factors.get(int(path[t]), [])
            row_F += [b * length + t] * len(here)
            node_F += here
            new += 1
        seen_N[path] = True
    return np.array(row_F, np.int64), np.array(node_F, np.int64), new
