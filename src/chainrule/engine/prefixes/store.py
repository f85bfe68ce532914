"""The rows of shared prefixes that are kept between calls, within a limit of memory. The least recently used go first.

Kept paths form a tree of segments. A segment is a run of rows on one path, below a row of another segment or of none. It never
changes once it is in the tree, except that its factors are replaced as a whole. So a call that has found a segment can use it
while other threads change the tree. Only one dictionary says what is in the tree: an interrupt finds it with a segment or
without it.

Shapes: P rows of a path, R rows of a segment, G key-value heads, D width of a head, H width of a hidden state.
"""

from __future__ import annotations

from _thread import allocate_lock
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import count

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from chainrule._types import Bools
from chainrule.engine.attention.kv_cache import Call, Kept
from chainrule.engine.prefixes.recent import Recent, shared_symbols
from chainrule.statistics import Statistics

LEAST = 64  # rows of a segment. Reading the weights once more, for rows that begin below a segment, takes as long as these

Symbols = NDArray[np.int32]
Place = tuple[int, int, bytes]  # the number of the segment above or of the root, the rows above, and the first symbols


@dataclass(frozen=True)
class Computed:
    """What the network computed for R rows of a path: hidden states, and keys and values for each attention call."""

    hidden_RH: Tensor
    kept: Mapping[Call, tuple[Tensor, Tensor]]  # each R × G × D

    @property
    def bytes(self) -> int:
        """The memory of all tensors."""
        return sum(x.nbytes for x in (self.hidden_RH, *(x for pair in self.kept.values() for x in pair)))

    def first(self, rows: int) -> Computed:
        """The first rows, in the same memory."""
        return Computed(self.hidden_RH[:rows], {call: (k[:rows], v[:rows]) for call, (k, v) in self.kept.items()})

    def after(self, row: int) -> Computed:
        """The rows from `row` on, in memory of their own."""
        kept = {call: (keys[row:].clone(), values[row:].clone()) for call, (keys, values) in self.kept.items()}
        return Computed(self.hidden_RH[row:].clone(), kept)


@dataclass(frozen=True)
class Factors:
    """The statistics of the nodes of R rows, where they are known. Each factor was read at the row above its node."""

    statistics: Statistics
    known_R: Bools
    temperature: float

    @property
    def top(self) -> int:
        """The number of alternatives."""
        return self.statistics.top_ids.shape[1]

    def replaced_by(self, new: Factors) -> Factors:
        """The new ones. Those of before are kept where nothing new is known, if they are of the same kind."""
        if (self.temperature, self.top) != (new.temperature, new.top):
            return new
        row_R = np.arange(len(new.known_R))
        both = Statistics.concatenate([self.statistics, new.statistics])
        return Factors(both[row_R + len(row_R) * new.known_R], self.known_R | new.known_R, new.temperature)


@dataclass(eq=False)
class Segment:
    """R rows of a path, below a row of another segment or of none."""

    number: int
    symbol_R: Symbols
    computed: Computed
    factors: Factors
    place: Place
    used: int = 0  # when it was last used

    @property
    def bytes(self) -> int:
        """The memory of its arrays and tensors."""
        return self.computed.bytes + self.symbol_R.nbytes + sum(array.nbytes for array in self.factors.statistics.arrays)


@dataclass(frozen=True)
class KeptPath:
    """The first rows of a path, root first: segments, and how many rows of each belong to the path."""

    pieces: tuple[tuple[Segment, int], ...] = ()

    @property
    def rows(self) -> int:
        """The number of rows."""
        return sum(rows for _, rows in self.pieces)

    @property
    def kept(self) -> list[Kept]:
        """Keys and values, piece by piece."""
        return [(segment.computed.kept, rows) for segment, rows in self.pieces]

    def computed(self) -> Computed:
        """What was computed for all of its rows."""
        parts = [segment.computed.first(rows) for segment, rows in self.pieces]
        calls = parts[0].kept
        pairs = {call: zip(*(part.kept[call] for part in parts), strict=True) for call in calls}
        kept = {call: (torch.cat(keys), torch.cat(values)) for call, (keys, values) in pairs.items()}
        return Computed(torch.cat([part.hidden_RH for part in parts]), kept)

    def first(self, rows: int) -> KeptPath:
        """The first rows alone."""
        pieces, left = [], rows
        for segment, length in self.pieces:
            if left > 0:
                pieces.append((segment, min(left, length)))
            left -= length
        return KeptPath(tuple(pieces))


class PrefixCache:
    """The kept prefixes of one model, in at most `memory` bytes. 0: nothing is kept.

    Paths below different roots have nothing in common. A root is 0 or a number below it, one for each state of the weights.
    """

    def __init__(self, memory: int = 0) -> None:
        self.memory, self.recent = memory, Recent()
        self.contexts_taken = 0  # contexts taken from the cache, by all calls together
        self._segments: dict[Place, Segment] = {}
        self._numbers, self._clock, self._lock = count(1), count(1), allocate_lock()
        self._row_bytes = 0  # of one row, once a segment is known

    @property
    def bytes(self) -> int:
        """The memory in use."""
        return sum(segment.bytes for segment in list(self._segments.values()))

    @property
    def contexts(self) -> int:
        """The number of contexts that are kept."""
        return sum(len(segment.symbol_R) for segment in list(self._segments.values()))

    @property
    def most_rows(self) -> int:
        """How many rows fit into the memory: no limit as long as their size is not known."""
        return self.memory // self._row_bytes if self._row_bytes else 1 << 62

    def find(self, symbol_P: Symbols, root: int = 0) -> KeptPath:
        """The longest kept beginning of a path."""
        pieces, number, row = [], root, 0
        with self._lock:
            while (segment := self._segments.get((number, row, symbol_P[row : row + LEAST].tobytes()))) is not None:
                rows = shared_symbols(segment.symbol_R, symbol_P[row:])
                pieces.append((segment, rows))
                segment.used = next(self._clock)
                number, row = segment.number, row + rows
        return KeptPath(tuple(pieces))

    def add(self, symbol_P: Symbols, computed: Computed, factors: Factors, root: int = 0) -> None:
        """Keep the last rows of a path, if the rows above them are kept, and if they are not kept already."""
        above = self.find(symbol_P, root)
        skipped = above.rows - (len(symbol_P) - len(factors.known_R))
        new_R = symbol_P[above.rows :]
        if skipped < 0 or len(new_R) < LEAST:
            return
        if skipped:
            computed = computed.after(skipped)
            factors = replace(factors, statistics=factors.statistics[skipped:], known_R=factors.known_R[skipped:])
        number = above.pieces[-1][0].number if above.pieces else root
        place = number, above.rows, new_R[:LEAST].tobytes()
        self._put(Segment(next(self._numbers), new_R.copy(), computed, factors, place))

    def learn(self, segment: Segment, factors: Factors) -> None:
        """Keep these factors of a segment as well, or instead."""
        with self._lock:
            segment.factors = segment.factors.replaced_by(factors)
            self._make_room(0, 0)

    def took(self, contexts: int) -> None:
        """Count contexts that a call has taken."""
        with self._lock:
            self.contexts_taken += contexts

    def _put(self, segment: Segment) -> None:
        self._row_bytes = -(-segment.bytes // len(segment.symbol_R))
        with self._lock:
            parent = segment.place[0]
            if parent > 0 and all(other.number != parent for other in self._segments.values()):
                return  # dropped since
            if self._make_room(segment.bytes, parent):
                segment.used = next(self._clock)
                self._segments[segment.place] = segment

    def _make_room(self, size: int, parent: int) -> bool:
        """Drop the least recently used segments that have none below them, but not the one of this number, until `size` bytes
        fit. Whether they do."""
        used = self.bytes
        while used + size > self.memory:
            above = {segment.place[0] for segment in self._segments.values()} | {parent}
            ends = [segment for segment in self._segments.values() if segment.number not in above]
            if not ends:
                return False
            oldest = min(ends, key=lambda segment: segment.used)
            used -= self._segments.pop(oldest.place).bytes
        return True
