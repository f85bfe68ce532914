"""Attention over a chunk of a forest by the compiled kernel: the rows of each tile attend to the keys of their whole path.

Keys are read by depth from depth 0, 64 at a time, for any batch: the bits of a row depend on its path alone.
Nothing is gathered or padded; queries, keys and values are read in place.

Shapes: R rows of the chunk, K keys (of the cached path and the chunk's rows), B tiles, A tasks, H heads, G key-value heads,
D width of a head.
"""

from __future__ import annotations

from functools import cached_property
from typing import Protocol

import numpy as np
from torch import Tensor

from chainrule._types import Ints
from chainrule.forest.tiles import T, Tiles
from chainrule.ops import native


class NativeLayout:
    """The tables that the kernel reads for a chunk, shared by all layers and computed on first use."""

    def __init__(self, tiles: Tiles) -> None:
        self._tiles = tiles
        self._tasks: dict[int, Ints] = {}

    @cached_property
    def tables(self) -> tuple[Ints, Ints]:
        """B × 6: each tile's first row, rows, depth, start of its far keys, number of far keys, start of its near keys.

        Starts are indices into the second array, which lists indices of keys in the cache.
        """
        tiles, parts, far_of, length = self._tiles, [], {-1: 0}, 0
        for above in dict.fromkeys(tiles.above_B[tiles.above_B >= 0].tolist()):  # tiles below one ancestor share its path
            parts.append(tiles.down_to(above))
            far_of[above], length = length, length + len(parts[-1])
        first_B = tiles.bound_B1[:-1]
        depth_B = tiles.depth_R[first_B]
        far_B = np.array([far_of[above] for above in tiles.above_B.tolist()], np.int64)
        near_B = length + np.arange(len(first_B)) * T
        table_B6 = np.stack([first_B, np.diff(tiles.bound_B1), depth_B, far_B, depth_B // T * T, near_B], 1)
        return table_B6, np.concatenate([*parts, tiles.slot_BT.reshape(-1)])

    def tasks(self, share: int) -> Ints:
        """Tile and first lane of each task, A × 2. A lane is one row in one of the `share` heads of a group."""
        if share not in self._tasks:
            lanes_B = np.diff(self._tiles.bound_B1) * share
            tasks_B = -(-lanes_B // native.queries())
            tile_A = np.repeat(np.arange(len(lanes_B)), tasks_B)
            before_A = np.repeat(np.cumsum(tasks_B) - tasks_B, tasks_B)
            self._tasks[share] = np.stack([tile_A, (np.arange(len(tile_A)) - before_A) * native.queries()], 1)
        return self._tasks[share]


class Tables(Protocol):
    """The tables that the kernel reads; see `NativeLayout`."""

    @property
    def tables(self) -> tuple[Ints, Ints]: ...
    def tasks(self, share: int) -> Ints: ...


def native_attend(
    layout: Tables,
    query_HRD: Tensor,
    key_KGD: Tensor,
    value_KGD: Tensor,
    scaling: float | None,
    window: int | None,
    softcap: float | None,
) -> tuple[Tensor, Tensor]:
    """The attention output of each row over its path, R × H × D, and the log-sum-exp of its scores, R × H in float32."""
    table_B6, key_index = layout.tables
    task_A2 = layout.tasks(query_HRD.shape[0] // key_KGD.shape[1])
    scaling = query_HRD.shape[-1] ** -0.5 if scaling is None else scaling
    return native.attention(query_HRD, key_KGD, value_KGD, table_B6, task_A2, key_index, scaling, window or 0, softcap or 0.0)
