"""The prefix forest: every distinct (context, token) pair of a set of sequences, once.

A node is a token, its context is its ancestors, its factor is Pr(node | ancestors). A sequence is a path, and its joint
log probability is the sum of the log factors along it. In depth-first preorder, one rule determines the context of a node:

    node k is in the context of node q   ⇔   k < q < end[k]          (and k itself is seen if k = q)

Shapes: N nodes, S sequences, T tokens in all sequences together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from chainrule._types import Ints


@dataclass(frozen=True)
class Forest:
    """A set of sequences as a forest in preorder. Symbols are any int32: they are only compared for equality."""

    symbol_N: Ints  # the symbol at the node
    depth_N: Ints  # the number of its ancestors: its position index
    parent_N: Ints  # −1 for a root
    end_N: Ints  # one past the last descendant
    path_T: Ints  # the nodes of every sequence, sequence after sequence
    offset_S1: Ints  # sequence s is path_T[offset_S1[s] : offset_S1[s + 1]]

    @classmethod
    def build(cls, sequences: Sequence[NDArray[np.integer]]) -> Forest:
        """Lay out `sequences`, any number of them, each of any length. O(T log S)."""
        symbol_T = np.concatenate(sequences) if len(sequences) else np.zeros(0, np.int32)
        return cls.lay_out(symbol_T, offsets([len(sequence) for sequence in sequences]))

    @classmethod
    def lay_out(cls, symbol_T: NDArray[np.integer], offset_S1: Ints) -> Forest:
        """`build` for concatenated sequences: sequence s is symbol_T[offset_S1[s] : offset_S1[s + 1]]."""
        symbol_T = symbol_T.astype(np.int32, copy=False)
        rank_S = _lexicographic(symbol_T, offset_S1)
        shared_S = _shared_prefixes(symbol_T, offset_S1, rank_S)
        return _grow(symbol_T, offset_S1, rank_S, shared_S)

    def __len__(self) -> int:
        return len(self.symbol_N)

    def path(self, sequence: int) -> Ints:
        """The nodes of one sequence, root first."""
        return self.path_T[self.offset_S1[sequence] : self.offset_S1[sequence + 1]]

    def ancestors(self, node: int) -> Ints:
        """The context of `node`, root first: a slow walk up the parents, used as a reference."""
        nodes = []
        while (node := int(self.parent_N[node])) >= 0:
            nodes.append(node)
        return np.array(nodes[::-1], np.int64)


def offsets(length_S: Sequence[int] | Ints) -> Ints:
    """The start of each of S concatenated runs, and the end of the last one: S + 1 numbers."""
    offset_S1 = np.zeros(len(length_S) + 1, np.int64)
    np.cumsum(length_S, out=offset_S1[1:])
    return offset_S1


def ranges(first_S: Ints, length_S: Ints) -> Ints:
    """first, first + 1 … of every run, one run after another: length[0] + length[1] + … numbers."""
    stop_S = np.cumsum(length_S)
    return np.repeat(first_S - stop_S + length_S, length_S) + np.arange(stop_S[-1] if len(stop_S) else 0)


def _lexicographic(symbol_T: NDArray[np.int32], offset_S1: Ints) -> Ints:
    """The sequences sorted so that equal prefixes are adjacent and a prefix comes before its extensions."""
    letters = symbol_T.astype(">u4").tobytes()  # big-endian, so comparing bytes compares symbols, at memcmp's speed
    bounds = (offset_S1 * 4).tolist()
    keys = [letters[a:b] for a, b in pairwise(bounds)]
    return np.array(sorted(range(len(keys)), key=keys.__getitem__), np.int64)


def _shared_prefixes(symbol_T: NDArray[np.int32], offset_S1: Ints, rank_S: Ints) -> Ints:
    """shared[i]: how many leading symbols the i-th sequence in sorted order shares with the one before it."""
    if len(rank_S) < 2:
        return np.zeros(len(rank_S), np.int64)
    start_S, length_S = offset_S1[rank_S], np.diff(offset_S1)[rank_S]
    overlap_S = np.minimum(length_S[1:], length_S[:-1])
    left, right = ranges(start_S[:-1], overlap_S), ranges(start_S[1:], overlap_S)
    # The first mismatch of each pair; the length of their overlap if there is none.
    unlike = np.flatnonzero(symbol_T[left] != symbol_T[right])
    stop_S = np.cumsum(overlap_S)
    first_S = np.append(unlike, len(left))[np.searchsorted(unlike, stop_S - overlap_S)]
    return np.append(0, np.minimum(first_S - stop_S + overlap_S, overlap_S))


def _grow(symbol_T: NDArray[np.int32], offset_S1: Ints, rank_S: Ints, shared_S: Ints) -> Forest:
    """Add the sequences in sorted order: each adds a run of new nodes where it leaves the path of the sequence before it."""
    start_S, length_S = offset_S1[rank_S], np.diff(offset_S1)[rank_S]
    fresh_S = length_S - shared_S
    number_N = np.arange(int(fresh_S.sum()))
    parent_N, end_N = number_N - 1, np.full(len(number_N), len(number_N))
    path_T = np.empty(len(symbol_T), np.int64)
    path_D = np.empty(int(length_S.max(initial=0)), np.int64)  # the current root-to-node path, by depth
    top = born = 0
    for start, shared, length in zip(start_S.tolist(), shared_S.tolist(), length_S.tolist(), strict=True):
        if length > shared:
            end_N[path_D[shared:top]] = born  # the nodes that leave the path here end here
            parent_N[born] = path_D[shared - 1] if shared else -1
            path_D[shared:length] = number_N[born : born + length - shared]
            born += length - shared
            top = length
        path_T[start : start + length] = path_D[:length]
    depth_N = ranges(shared_S, fresh_S)
    symbol_N = symbol_T[ranges(start_S + shared_S, fresh_S)].astype(np.int64)
    return Forest(symbol_N, depth_N, parent_N, end_N, path_T, offset_S1)
