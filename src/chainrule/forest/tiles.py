"""Attention split into near and far parts.

Depths are cut into blocks of T. A tile is an unbranched run of rows within one block; its rows see

    near   the path in their own block, each up to its own depth
    far    the whole blocks above: every key in them, so tiles below the same ancestor share one call for them

The keys that a row sums, their order and their grouping thus depend on its own path alone, never on other rows of the
chunk. The same holds for the bits of the result.

Shapes: R rows of the chunk, P rows of the path carried into it, B tiles, Q queries, K keys. A *slot* is a key's index:
0 … P − 1 the carried path (slot = depth), then the chunk's rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from chainrule._types import Bools, Ints
from chainrule.forest.forest import ranges

T = 128  # depths per block: each row of a long text computes T / 2 masked keys on average; a branch gathers at most T keys
QUERIES, KEYS = 16, 32  # padding multiples: other sizes select other kernels, with other bits
CALL = 2_000  # the cost of one more call, in query-key pairs (measured)


@dataclass(frozen=True)
class Near:
    """Tiles of similar shape, padded to a common one. Row q of tile b is at depth offset_B[b] + q of its block."""

    row_BQ: Ints  # padded by repeating the last row, whose result is then computed more than once
    count_B: Ints  # the number of queries that are not padding
    slot_BK: Ints  # padded with slot 0, which is masked by depth
    offset_B: Ints

    def visible(self, window: int | None = None) -> Bools:
        """visible[b, q, k]: key k is no deeper than query q, and less than `window` positions back if there is a window."""
        query_BQ = self.offset_B[:, None] + np.minimum(np.arange(self.row_BQ.shape[1]), self.count_B[:, None] - 1)
        back = query_BQ[:, :, None] - np.arange(self.slot_BK.shape[1])
        return (back >= 0) if window is None else (back >= 0) & (back < window)


@dataclass(frozen=True)
class Far:
    """Rows, all in one block of depths and below the same ancestor, and the slots of the keys in the blocks above."""

    row_Q: Ints
    depth_Q: Ints
    slot_K: Ints  # by depth, from `start` on
    start: int = 0

    def within(self, window: int) -> Far | None:
        """The part within a sliding window: from the first block that the first row of this block of depths can see."""
        base = self.start + len(self.slot_K)
        start = max(self.start, (base - window + 1) // T * T)
        in_window = self.depth_Q - base + 1 < window
        if not in_window.any():
            return None
        return replace(
            self,
            row_Q=self.row_Q[in_window],
            depth_Q=self.depth_Q[in_window],
            slot_K=self.slot_K[start - self.start :],
            start=start,
        )

    def visible(self, window: int) -> Bools:
        """visible[q, k] under a sliding window. Without a window, all keys are visible."""
        return self.depth_Q[:, None] - np.arange(self.start, self.start + len(self.slot_K)) < window


@dataclass(frozen=True)
class Tiles:
    """The rows of a chunk, cut into B tiles: tile b consists of the rows bound_B1[b] … bound_B1[b + 1] − 1."""

    bound_B1: Ints
    depth_R: Ints
    path: int  # P
    slot_BT: Ints  # the path of each tile within its block, by depth: slots, up to its last row
    above_B: Ints  # the slot right above it (−1: none)

    @classmethod
    def cut(cls, depth_R: Ints, parent_R: Ints, path: int) -> Tiles:
        """Cut the rows of a chunk into tiles. `parent_R` is negative where the parent is on the carried path."""
        rows = np.arange(len(depth_R))
        bound_B1 = np.append(np.flatnonzero((parent_R != rows - 1) | (depth_R % T == 0) | (rows == 0)), len(rows))
        slot_BT, above_B = _near_slots(bound_B1, depth_R, parent_R, path)
        return cls(bound_B1, depth_R, path, slot_BT, above_B)

    @cached_property
    def near(self) -> list[Near]:
        """The attention of rows within their own block of depths, in groups of tiles."""
        return _group(self.bound_B1, self.depth_R, self.slot_BT)

    @cached_property
    def far(self) -> list[Far]:
        """The attention of rows to the blocks above. All rows below the same ancestor form one entry."""
        rows: dict[int, list[Ints]] = {}
        for b in np.flatnonzero(self.above_B >= 0).tolist():
            rows.setdefault(int(self.above_B[b]), []).append(np.arange(self.bound_B1[b], self.bound_B1[b + 1]))
        joined = ((np.concatenate(parts), above) for above, parts in rows.items())
        return [Far(row_Q, self.depth_R[row_Q], self.down_to(above)) for row_Q, above in joined]

    def down_to(self, above: int) -> Ints:
        """The slots of the path that ends at slot `above`, at the end of a block and so of a tile; by depth."""
        if above not in self._paths:
            self._paths[above] = np.arange(above + 1) if above < self.path else self._climb(above)
        return self._paths[above]

    def _climb(self, above: int) -> Ints:
        b = int(np.searchsorted(self.bound_B1, above - self.path, side="right")) - 1
        higher = int(self.above_B[b])
        return self.slot_BT[b] if higher < 0 else np.concatenate([self.down_to(higher), self.slot_BT[b]])

    @cached_property
    def _paths(self) -> dict[int, Ints]:
        return {}


def _near_slots(bound_B1: Ints, depth_R: Ints, parent_R: Ints, path: int) -> tuple[Ints, Ints]:
    """The slots of each tile's path within its block, by depth, and the slot right above it (−1: none)."""
    first_R = np.repeat(bound_B1[:-1], np.diff(bound_B1))  # the first row of each row's tile
    row_B = bound_B1[1:] - 1  # all tiles climb at once, from their last rows, a tile's rows at a time
    base_B = depth_R[row_B] // T * T
    slot_BT = base_B[:, None] + np.arange(T)  # outside the chunk, a slot is a depth
    above_B, tile_B = base_B - 1, np.arange(len(row_B))
    while len(tile_B):
        inside = depth_R[row_B] >= base_B[tile_B]
        above_B[tile_B[~inside]] = path + row_B[~inside]
        tile_B, row_B = tile_B[inside], row_B[inside]
        first_B = first_R[row_B]
        row_L = ranges(first_B, row_B - first_B + 1)
        slot_BT[np.repeat(tile_B, row_B - first_B + 1), depth_R[row_L] % T] = path + row_L
        row_B = parent_R[first_B]
        tile_B, row_B = tile_B[row_B >= 0], row_B[row_B >= 0]
    return slot_BT, above_B


def _group(bound_B1: Ints, depth_R: Ints, slot_BT: Ints) -> list[Near]:
    """Group tiles of similar shape, largest first, while the padding costs less than another call."""
    count_B, offset_B = np.diff(bound_B1), depth_R[bound_B1[:-1]] % T
    queries_B, keys_B = _rounded(count_B, QUERIES), _rounded(offset_B + count_B, KEYS)
    groups: list[list[int]] = []
    queries = keys = 0
    for b in np.lexsort((-queries_B, -keys_B)).tolist():
        queries = max(queries, int(queries_B[b]))
        if not groups or queries * keys > queries_B[b] * keys_B[b] + CALL:
            groups.append([])
            queries, keys = int(queries_B[b]), int(keys_B[b])
        groups[-1].append(b)
    return [
        _near(np.array(g), bound_B1, offset_B, count_B, slot_BT, int(queries_B[g].max()), int(keys_B[g].max())) for g in groups
    ]


def _near(tile_B: Ints, bound_B1: Ints, offset_B: Ints, count_B: Ints, slot_BT: Ints, queries: int, keys: int) -> Near:
    count_B, offset_B = count_B[tile_B], offset_B[tile_B]
    row_BQ = bound_B1[tile_B][:, None] + np.minimum(np.arange(queries), count_B[:, None] - 1)
    slot_BK = np.where(np.arange(keys) < (offset_B + count_B)[:, None], slot_BT[tile_B, :keys], 0)
    return Near(row_BQ, count_B, slot_BK, offset_B)


def _rounded(count: Ints, multiple: int) -> Ints:
    return -(-count // multiple) * multiple
