"""What one call takes from the kept prefixes, and what it adds to them once it has succeeded.

Known rows are those whose keys, values and hidden states are kept. Factors at known rows are taken if they are kept, and read
from the hidden states otherwise: so no row is computed again for another question.

Shapes: N nodes of the forest, P nodes of a path, R rows of a chunk, X rows that are kept, U known rows, F factors, G key-value
heads, D width of a head, H width of a hidden state.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from chainrule._types import Bools, Ints
from chainrule.engine.attention.kv_cache import Call, KVCache
from chainrule.engine.prefixes.choice import End, Piece, accepted, branches, long, repeated
from chainrule.engine.prefixes.store import LEAST, Computed, Factors, KeptPath, PrefixCache, Segment
from chainrule.engine.question import Answer, Question, Settings
from chainrule.forest.chunks import Chunk
from chainrule.forest.forest import Forest
from chainrule.ops.transfer import sent
from chainrule.statistics import Statistics

BELOW = 512  # rows below a path from which it is computed first, since several parts would each compute it


@dataclass(frozen=True)
class _Gathered:
    """Rows of a chunk that are to be kept."""

    node_X: Ints
    computed: Computed


class Reuse:
    """The known rows of a question's forest, and the paths that will be kept."""

    def __init__(self, cache: PrefixCache, root: int, question: Question, how: Settings, *, whole: bool = False) -> None:
        """root: see `PrefixCache`. whole: keep the path of each sequence without its last node. Otherwise, keep the paths that
        texts share."""
        self.cache, self._root, self.question, self.how, self._whole = cache, root, question, how, whole
        forest = question.forest
        self.known_N = np.zeros(len(forest), bool)
        self._find(forest)
        self._keep_N = self.known_N.copy()
        self._pieces = accepted(forest, self._ends(forest), self._keep_N, cache.most_rows)
        self._keep_N &= ~self.known_N
        self.taken_N = np.zeros(len(forest), bool)
        self._gathered: list[_Gathered] = []

    def _find(self, forest: Forest) -> None:
        """The kept paths of this forest: pieces of them, and for each known node the piece that it is in."""
        paths = {s: self.cache.find(forest.symbol_N[forest.path(s)].astype(np.int32), self._root) for s in long(forest)}
        ends = [(sequence, path.rows) for sequence, path in paths.items()]
        self._found = accepted(forest, ends, self.known_N, len(forest))
        self._paths = [paths[piece.sequence] for piece in self._found]
        self._piece_N = np.zeros(len(forest), np.int64)
        for i, piece in enumerate(self._found):
            self._piece_N[piece.nodes(forest)] = i

    def _ends(self, forest: Forest) -> Iterable[End]:
        if self._whole:
            return [(s, length - 1) for s, length in enumerate(np.diff(forest.offset_S1).tolist())]
        return {*branches(forest), *repeated(forest, self.cache.recent)}

    @property
    def contexts(self) -> int:
        """The number of known contexts."""
        return int(np.count_nonzero(self.known_N & _contexts(self.question.forest)))

    # What is taken

    def fill(self, answer: Answer) -> Bools:
        """Write the kept factors into an answer. Returns the nodes whose factors are still wanted."""
        wanted_N = self.question.wanted_N.copy()
        wanted_N[self.question.asked.factor_X] = False  # their distributions are needed
        for node_P, segment in self._segments():
            factors = segment.factors
            if factors.temperature == self.how.temperature and factors.top >= self.how.top and not len(self.how.sets):
                taken_P = wanted_N[node_P] & factors.known_R[: len(node_P)]
                columns = vars(factors.statistics[np.flatnonzero(taken_P)])
                top = {name: columns[name][:, : self.how.top] for name in ("top_ids", "top_logprobs")}
                answer.statistics.write(node_P[taken_P], columns | top)
                self.taken_N[node_P[taken_P]] = True
        return self.question.wanted_N & ~self.taken_N

    def _segments(self) -> list[tuple[Ints, Segment]]:
        """The kept segments, each once, with the nodes of its first rows: of as many as the forest has."""
        found: dict[int, tuple[Ints, Segment]] = {}
        for piece, path in zip(self._found, self._paths, strict=True):
            node_P, row = self.question.forest.path(piece.sequence), 0
            for segment, rows in path.pieces:
                if segment.number not in found or len(found[segment.number][0]) < rows:
                    found[segment.number] = node_P[row : row + rows], segment
                row += rows
        return list(found.values())

    def above(self, node: int) -> KeptPath:
        """The kept path down to a known node."""
        return self._paths[self._piece_N[node]].first(int(self.question.forest.depth_N[node]) + 1)

    def hidden(self, node_U: Ints) -> Tensor:
        """The hidden states of known nodes, U × H."""
        piece_U, depth_U = self._piece_N[node_U], self.question.forest.depth_N[node_U]
        parts, order = [], np.argsort(piece_U, kind="stable")
        for i in np.unique(piece_U).tolist():
            hidden_PH = torch.cat([segment.computed.hidden_RH[:rows] for segment, rows in self._paths[i].pieces])
            parts.append(hidden_PH[sent(depth_U[piece_U == i], hidden_PH.device)])
        hidden_UH = torch.cat(parts)
        return hidden_UH[sent(np.argsort(order), hidden_UH.device)]

    # What is kept

    def trunks(self) -> Question | None:
        """A question about the paths alone below which there is much to compute; None if there are none."""
        forest = self.question.forest
        below_N1 = np.append(0, np.cumsum(_contexts(forest) & ~self.known_N))
        ends = [(piece, int(piece.nodes(forest)[-1])) for piece in self._pieces]
        trunks = [piece for piece, node in ends if below_N1[forest.end_N[node]] - below_N1[node + 1] >= BELOW]
        return self._alone(trunks) if trunks and not self._whole_forest(trunks) else None

    def _whole_forest(self, trunks: list[Piece]) -> bool:
        """Whether the paths are all of the forest, so that computing them first would never end."""
        return self._whole and len(trunks) == len(self.question.forest.offset_S1) - 1

    def _alone(self, trunks: list[Piece]) -> Question:
        """These paths, each with a last node that makes the one above it a context."""
        old = self.question.forest
        paths = [old.path(piece.sequence)[: piece.stop + 1] for piece in trunks]
        forest = Forest.build([old.symbol_N[node_P] for node_P in paths])
        wanted_N = np.zeros(len(forest), bool)
        if not len(self.how.sets):  # the others are read later, with what else is asked for
            free_N = self.question.wanted_N.copy()
            free_N[self.question.asked.factor_X] = False
            wanted_N[forest.path_T] = free_N[np.concatenate(paths)]
            wanted_N[forest.path_T[forest.offset_S1[1:] - 1]] = False
        return replace(Question(forest, wanted_N), alphabet=self.question.alphabet)

    def take(self, chunk: Chunk, hidden_RH: Tensor, cache: KVCache, first: int) -> None:
        """Copy what is to be kept of a chunk, whose keys and values are in the cache from row `first` on."""
        row_X = np.flatnonzero(self._keep_N[chunk.node_R])
        row_X = row_X[row_X >= len(chunk) - chunk.new]
        if len(row_X) and sum(each.computed.bytes for each in self._gathered) < self.cache.memory:
            index_X = sent(row_X, hidden_RH.device)
            computed = Computed(hidden_RH[index_X], cache.rows(first + row_X))
            self._gathered.append(_Gathered(chunk.node_R[row_X], computed))

    def keep(self, answer: Answer | None = None) -> None:
        """After the call: keep the paths, the factors that have been read (None: none were), and the texts."""
        self.cache.took(self.contexts)
        forest = self.question.forest
        for node_P, segment in self._segments():
            if answer is not None and (self.question.wanted_N & ~self.taken_N)[node_P].any():
                self.cache.learn(segment, self._factors(answer, node_P, len(segment.symbol_R)))
        for piece in self._pieces:
            node_P = forest.path(piece.sequence)[: piece.stop]
            symbol_P = forest.symbol_N[node_P].astype(np.int32)
            node_P = node_P[self.cache.find(symbol_P, self._root).rows :]
            if len(node_P) >= LEAST and (computed := self._computed(node_P)) is not None:
                self.cache.add(symbol_P, computed, self._factors(answer, node_P, len(node_P)), self._root)
        if not self._whole:
            self.cache.recent.add([forest.symbol_N[forest.path(s)].astype(np.int32) for s in long(forest)])

    def _factors(self, answer: Answer | None, node_P: Ints, rows: int) -> Factors:
        """The factors of these nodes, and of as many unknown ones as are missing to `rows`."""
        if answer is None:
            return Factors(Statistics.empty(rows, 0), np.zeros(rows, bool), self.how.temperature)
        known_R, top = np.zeros(rows, bool), answer.top_ids.shape[1]
        known_R[: len(node_P)] = self.question.wanted_N[node_P]
        statistics = replace(answer.statistics[node_P], set_logprobs=np.empty((len(node_P), 0)))
        missing = Statistics.empty(rows - len(node_P), top)
        return Factors(Statistics.concatenate([statistics, missing]), known_R, self.how.temperature)

    def _computed(self, node_P: Ints) -> Computed | None:
        """The rows of these nodes: gathered ones, after those of a kept path which shares too few to be found by this one. None
        if some are missing."""
        known_P = node_P[self.known_N[node_P]]
        copied = [_Gathered(known_P, self.above(int(known_P[-1])).computed().after(-len(known_P)))] if len(known_P) else []
        parts = [(part, np.flatnonzero(np.isin(part.node_X, node_P))) for part in [*copied, *self._gathered]]
        parts = sorted(((part, row) for part, row in parts if len(row)), key=lambda each: each[0].node_X[each[1][0]])
        if sum(len(row) for _, row in parts) != len(node_P):
            return None
        rows = [(part.computed, sent(row, part.computed.hidden_RH.device)) for part, row in parts]
        hidden = torch.cat([computed.hidden_RH[row] for computed, row in rows])
        kept: dict[Call, tuple[Tensor, Tensor]] = {}
        for call in rows[0][0].kept:
            pairs = [(computed.kept[call], row) for computed, row in rows]
            kept[call] = torch.cat([k[row] for (k, _), row in pairs]), torch.cat([v[row] for (_, v), row in pairs])
        return Computed(hidden, kept)


def _contexts(forest: Forest) -> Bools:
    """Which nodes are contexts: those with children."""
    return forest.end_N > np.arange(len(forest)) + 1
