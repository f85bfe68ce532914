"""A forest of any size, processed a fixed number of rows at a time.

A row is a context: a node with children. A leaf conditions nothing, so the network never sees it. Chunks run in preorder;
only the current root-to-node path is carried from one chunk to the next.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from chainrule._types import Bools, Ints
from chainrule.forest.forest import Forest
from chainrule.forest.tiles import Tiles


@dataclass(frozen=True)
class Chunk:
    """R rows of the forest, the path carried into them (P rows), and the rows carried on to the next chunk."""

    node_R: Ints
    depth_R: Ints
    new: int  # how many of its rows, the last ones, are computed for the first time
    path: int  # P: rows of the carried path that lie above this chunk's first row
    keep: int  # how many of those P rows the next chunk still needs …
    carry: Ints  # … and which rows of this chunk follow them on its path
    row_F: Ints  # factor f is read off the distribution at this row …
    node_F: Ints  # … and belongs to this node
    end_K: Ints  # one past the last descendant row of each key: keys of the path, then of the chunk
    tiles: Tiles

    def __len__(self) -> int:
        return len(self.node_R)


def chunks(forest: Forest, wanted_N: Bools, rows: int, done: int = 0) -> Iterator[Chunk]:
    """Cut the contexts of `forest` into chunks of `rows` rows; factors are read for the nodes in `wanted_N`, no root.

    done: the number of first rows that need not run again. They are on one path, and no factor is read at them.
    """
    return Rows.of(forest, wanted_N).chunks(rows, done)


def extension(path: int, rows: int) -> Chunk:
    """`rows` contexts in one unbranched run after a path of `path` contexts. All of them stay on the path."""
    forest = Forest.build([np.zeros(path + rows + 1, np.int64)])
    chunk, _ = Rows.of(forest, forest.depth_N > 0).chunk(path, path + rows, np.arange(path))
    return replace(chunk, keep=path, carry=np.arange(rows))


@dataclass(frozen=True)
class Rows:
    """The forest without its leaves, or a part of it, and its factors in the order of the rows that they are read from."""

    node_R: Ints
    depth_R: Ints
    parent_R: Ints
    end_R: Ints
    row_F: Ints
    node_F: Ints
    above: int = 0  # of a part: first rows that belong to other parts, and are computed again for their keys and values

    def __len__(self) -> int:
        return len(self.node_R)

    @classmethod
    def of(cls, forest: Forest, wanted_N: Bools) -> Rows:
        node_R = np.flatnonzero(forest.end_N > np.arange(len(forest)) + 1)
        row_N1 = np.zeros(len(forest) + 1, np.int64)  # how many contexts come before node n
        row_N1[node_R + 1] = 1
        row_N1 = np.cumsum(row_N1)
        parent_R = forest.parent_N[node_R]
        parent_R = np.where(parent_R < 0, -1, row_N1[parent_R])
        node_F = np.flatnonzero(wanted_N)
        row_F = row_N1[forest.parent_N[node_F]]
        order = np.argsort(row_F, kind="stable")
        return cls(node_R, forest.depth_N[node_R], parent_R, row_N1[forest.end_N[node_R]], row_F[order], node_F[order])

    def chunks(self, rows: int, done: int = 0, stop: int | None = None) -> Iterator[Chunk]:
        """The rows from `done` to `stop` in chunks of `rows`; see `chunks`."""
        path_P, stop = np.arange(done), len(self) if stop is None else stop  # the rows on the path above the next chunk
        for first in range(done, stop, rows):
            chunk, path_P = self.chunk(first, min(first + rows, stop), path_P)
            yield chunk

    def part(self, first: int, stop: int) -> Rows:
        """The rows from `first` to `stop`, after the path above them."""
        path_P = self._path(first, 0, np.zeros(0, np.int64))
        row_R, moved = np.concatenate([path_P, np.arange(first, stop)]), len(path_P) - first
        parent_R, depth_R = self.parent_R[row_R], self.depth_R[row_R]
        a, b = np.searchsorted(self.row_F, [first, stop])
        return Rows(
            node_R=self.node_R[row_R],
            depth_R=depth_R,
            parent_R=np.where(parent_R >= first, parent_R + moved, depth_R - 1),  # a row of the path has its depth as number
            end_R=np.minimum(self.end_R[row_R], stop) + moved,
            row_F=self.row_F[a:b] + moved,
            node_F=self.node_F[a:b],
            above=len(path_P),
        )

    def chunk(self, first: int, stop: int, path_P: Ints) -> tuple[Chunk, Ints]:
        depth_R, end_R, parent_R = self.depth_R[first:stop], self.end_R[first:stop], self.parent_R[first:stop]
        next_path = self._path(stop, first, path_P)
        keep = int(np.searchsorted(next_path, first))
        a, b = np.searchsorted(self.row_F, [first, stop])
        chunk = Chunk(
            node_R=self.node_R[first:stop],
            depth_R=depth_R,
            new=max(0, stop - max(first, self.above)),
            path=len(path_P),
            keep=keep,
            carry=next_path[keep:] - first,
            row_F=self.row_F[a:b] - first,
            node_F=self.node_F[a:b],
            end_K=np.concatenate([self.end_R[path_P], end_R]) - first,
            tiles=Tiles.cut(depth_R, np.maximum(parent_R - first, -1), len(path_P)),
        )
        return chunk, next_path

    def _path(self, row: int, first: int, path_P: Ints) -> Ints:
        """The ancestors of `row`, root first: those in the chunk from `first` on, after the part of the path that is kept."""
        if row >= len(self.node_R):
            return np.zeros(0, np.int64)
        inside, up = [], int(self.parent_R[row])
        while up >= first:
            inside.append(up)
            up = int(self.parent_R[up])
        outside = path_P[: int(self.depth_R[row]) - len(inside)]
        return np.concatenate([outside, np.array(inside[::-1], np.int64)])
