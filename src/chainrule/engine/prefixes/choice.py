"""The paths of a forest that are worth keeping: those of `LEAST` contexts or more that two texts share.

The two texts may be of this call, or one of them of an earlier call. Paths are considered from the shortest on, and one that
adds fewer than `LEAST` contexts to those before it is left out: rows below another path are computed by themselves, which
takes longer than it saves if the paths differ by little.

Shapes: N nodes of the forest, S sequences.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from chainrule._types import Bools, Ints
from chainrule.engine.prefixes.recent import Recent
from chainrule.engine.prefixes.store import LEAST
from chainrule.forest.forest import Forest

End = tuple[int, int]  # a sequence, and the number of its first nodes


@dataclass(frozen=True)
class Piece:
    """The nodes from `first` to `stop` on the path of a sequence. Those above are known, or belong to other pieces."""

    sequence: int
    first: int
    stop: int

    def nodes(self, forest: Forest) -> Ints:
        """The nodes of the piece."""
        return forest.path(self.sequence)[self.first : self.stop]


def accepted(forest: Forest, ends: Iterable[End], marked_N: Bools, most: int) -> list[Piece]:
    """Those paths that add enough nodes to the marked ones, at most `most` nodes in all. Marks them."""
    pieces, left = [], most
    for sequence, stop in sorted(ends, key=lambda end: end[1]):
        node_P = forest.path(sequence)[:stop]
        first = int(np.count_nonzero(marked_N[node_P]))
        if LEAST <= stop - first <= left:
            marked_N[node_P[first:]] = True
            left -= stop - first
            pieces.append(Piece(sequence, first, stop))
    return pieces


def long(forest: Forest) -> list[int]:
    """The sequences that are long enough to have a path worth keeping."""
    return np.flatnonzero(np.diff(forest.offset_S1) > LEAST).tolist()


def branches(forest: Forest) -> list[End]:
    """The paths to the nodes with several children, where these are deep enough."""
    children_N = np.bincount(forest.parent_N[forest.parent_N >= 0], minlength=len(forest))
    node_B = np.flatnonzero((children_N > 1) & (forest.depth_N + 1 >= LEAST))
    sequence_N = np.zeros(len(forest), np.int64)  # any sequence through the node
    sequence_N[forest.path_T] = np.repeat(np.arange(len(forest.offset_S1) - 1), np.diff(forest.offset_S1))
    return list(zip(sequence_N[node_B].tolist(), (forest.depth_N[node_B] + 1).tolist(), strict=True))


def repeated(forest: Forest, recent: Recent) -> list[End]:
    """The paths that sequences share with recent texts. A last node with no children is no context, and is left out."""
    ends = []
    for sequence in long(forest):
        node_P = forest.path(sequence)
        shared = recent.shared(forest.symbol_N[node_P].astype(np.int32))
        if shared:
            ends.append((sequence, shared - int(forest.end_N[node_P[shared - 1]] == node_P[shared - 1] + 1)))
    return ends
