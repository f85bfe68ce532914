"""Attention in pieces: which keys a run of rows has to look at, and which of them each row may see.

Rows [first, stop) of a chunk need only the ancestors of row `first` and the rows themselves as keys: in preorder, an
ancestor of a later row that is no ancestor of the first one lies between the two. So an unbranched run costs what plain
causal attention costs, short branches behind a long context share one read of that context, and nothing else is touched.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

# What a tile costs, in query-key pairs: fetching a key is worth about 16 of them, starting a call about 2,000 (measured).
FETCH, CALL = 16, 2_000
MAX_QUERIES, MAX_PAIRS = 128, 1 << 21  # of a tile: bounds the pairs computed in vain, and the visibility mask's memory


@dataclass(frozen=True)
class Tile:
    """Query rows [first, stop) of a chunk, and their keys by place: 0 … path−1 the carried path, then the chunk's rows."""

    first: int
    stop: int
    place_K: Ints
    row_K: Ints  # the key's row within the chunk; negative for the carried path
    end_K: Ints  # one past the key's last descendant row
    depth_K: Ints
    depth_Q: Ints

    def visible(self, window: int | None = None) -> NDArray[np.bool_]:
        """visible[q, k]: key k ≤ query q < end[k], and no more than `window` − 1 positions back where there is one."""
        row_Q = np.arange(self.first, self.stop)[:, None]
        seen = (self.row_K <= row_Q) & (row_Q < self.end_K)
        if window is not None:
            seen &= self.depth_Q[:, None] - self.depth_K < window
        return seen

    @property
    def contiguous(self) -> bool:
        """Whether the keys are simply all places from 0 on, so that nothing has to be gathered."""
        return int(self.place_K[-1]) == len(self.place_K) - 1

    @property
    def pairs(self) -> int:
        return (self.stop - self.first) * len(self.place_K)


def cut(depth_R: Ints, end_R: Ints, parent_R: Ints, path_end_P: Ints) -> list[Tile]:
    """Cut the rows of a chunk into tiles. `parent_R` is negative where the parent is on the carried path."""
    bounds = _bounds(depth_R, parent_R)
    return [_tile(a, b, depth_R, end_R, parent_R, path_end_P) for a, b in pairwise(bounds)]


def group(tiles: list[Tile]) -> list[list[Tile]]:
    """Put tiles of like shape together, largest first, to be padded to one shape and attended to in one call."""
    groups: list[list[Tile]] = [[t] for t in tiles if t.contiguous]
    batch: list[Tile] = []
    queries = keys = 0
    for tile in sorted((t for t in tiles if not t.contiguous), key=lambda t: (-len(t.place_K), t.first - t.stop)):
        queries = max(queries, tile.stop - tile.first)
        if batch and queries * keys > tile.pairs + FETCH * len(tile.place_K) + CALL:
            groups.append(batch)
            batch = []
        if not batch:
            queries, keys = tile.stop - tile.first, len(tile.place_K)
        batch.append(tile)
    return [*groups, batch] if batch else groups


def _bounds(depth_R: Ints, parent_R: Ints) -> list[int]:
    """Where tiles begin and end: join neighbouring runs while one tile of both is cheaper than two tiles."""
    rows = len(depth_R)
    breaks = [0, *(np.flatnonzero(parent_R[1:] != np.arange(rows - 1)) + 1).tolist(), rows]
    bounds = [0]
    for run, stop in pairwise(breaks):
        begin = bounds[-1]
        if run > begin and not _worth_joining(begin, run, stop, depth_R):
            bounds.append(run)
            begin = run
        while stop - begin > (most := _most_rows(int(depth_R[begin]))):
            begin += most
            bounds.append(begin)
    return [*bounds, rows] if bounds[-1] < rows else bounds


def _cost(rows: int, depth: int) -> int:
    return (rows + FETCH) * (depth + rows) + CALL


def _worth_joining(begin: int, run: int, stop: int, depth_R: Ints) -> bool:
    if stop - begin > _most_rows(int(depth_R[begin])):
        return False
    apart = _cost(run - begin, int(depth_R[begin])) + _cost(stop - run, int(depth_R[run]))
    return _cost(stop - begin, int(depth_R[begin])) < apart


def _most_rows(depth: int) -> int:
    return max(16, min(MAX_QUERIES if depth < 4 * MAX_QUERIES else 4 * MAX_QUERIES, MAX_PAIRS // (depth + MAX_QUERIES)))


def _tile(first: int, stop: int, depth_R: Ints, end_R: Ints, parent_R: Ints, path_end_P: Ints) -> Tile:
    above, row = [], int(parent_R[first])
    while row >= 0:
        above.append(row)
        row = int(parent_R[row])
    path = int(depth_R[first]) - len(above)  # how much of the carried path lies above the first row
    own = np.concatenate([np.array(above[::-1], np.int64), np.arange(first, stop)])
    return Tile(
        first,
        stop,
        place_K=np.concatenate([np.arange(path), len(path_end_P) + own]),
        row_K=np.concatenate([np.full(path, -1), own]),
        end_K=np.concatenate([path_end_P[:path], end_R[own]]),
        depth_K=np.concatenate([np.arange(path), depth_R[own]]),
        depth_Q=depth_R[first:stop],
    )
