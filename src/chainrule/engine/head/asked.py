"""Tokens whose probability is asked for at a factor, beside that of the factor's own token: given ids, and random draws.

They are read from the same conditional distribution as the factor, so they cost no row of the network.

Shapes: F factors, X asked tokens of all factors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from chainrule._types import Bools, Floats, Ints
from chainrule.forest.forest import offsets, ranges

DRAWN = -1  # in place of an id


@dataclass(frozen=True)
class AskedTokens:
    """X tokens that are asked for, sorted by their factor."""

    factor_X: Ints  # the number of the factor, ascending
    token_X: Ints  # its id; DRAWN: a random draw
    uniform_X: Floats  # of a draw: a number in [0, 1), which the inverse of the cumulative distribution maps to a token

    def __len__(self) -> int:
        return len(self.token_X)

    @property
    def drawn_X(self) -> Bools:
        """Which of them are draws."""
        return self.token_X == DRAWN

    @classmethod
    def of(cls, lists: Sequence[Ints], uniform_FK: Floats) -> AskedTokens:
        """A list of ids for each of F factors, or no list at all, and K draws for each: the ids of a factor come first."""
        count_F = np.array([len(ids) for ids in lists] or [0] * len(uniform_FK), np.int64)
        draws = uniform_FK.shape[1]
        offset_F1 = offsets(count_F + draws)
        token_X, uniform_X = np.full(offset_F1[-1], DRAWN, np.int64), np.zeros(offset_F1[-1])
        token_X[ranges(offset_F1[:-1], count_F)] = np.concatenate([np.zeros(0, np.int64), *lists])
        uniform_X[ranges(offset_F1[:-1] + count_F, np.full(len(count_F), draws))] = uniform_FK.ravel()
        return cls(np.repeat(np.arange(len(count_F)), count_F + draws), token_X, uniform_X)

    @classmethod
    def concatenate(cls, parts: Sequence[AskedTokens], count_S: Ints) -> AskedTokens:
        """Those of sequences with `count_S` factors each, one sequence after another."""
        first_S = offsets(count_S)[:-1].tolist()
        factor = [part.factor_X + first for part, first in zip(parts, first_S, strict=True)]
        return cls(
            np.concatenate([NONE.factor_X, *factor]),
            np.concatenate([NONE.token_X, *(part.token_X for part in parts)]),
            np.concatenate([NONE.uniform_X, *(part.uniform_X for part in parts)]),
        )

    def renumbered(self, number_F: Ints) -> tuple[AskedTokens, Ints]:
        """Those of factor f at factor number_F[f], which several may share; and the old index of each."""
        number_X = number_F[self.factor_X]
        order_X = np.argsort(number_X, kind="stable")
        return AskedTokens(number_X[order_X], self.token_X[order_X], self.uniform_X[order_X]), order_X

    def select(self, number_F: Ints) -> tuple[AskedTokens, Ints]:
        """Those of these factors, numbered 0, 1 … in this order; and the old index of each."""
        first_F, stop_F = (np.searchsorted(self.factor_X, number_F, side) for side in ("left", "right"))
        index_X = ranges(first_F, stop_F - first_F)
        factor_X = np.repeat(np.arange(len(number_F)), stop_F - first_F)
        return AskedTokens(factor_X, self.token_X[index_X], self.uniform_X[index_X]), index_X


NONE = AskedTokens(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))


@dataclass(frozen=True)
class AskedFactors:
    """The ids of X asked tokens, and their log probabilities in nats (float64), to be filled in or complete."""

    id_X: Ints
    logprob_X: Floats

    @classmethod
    def empty(cls, count: int) -> AskedFactors:
        """`count` of them, to be filled in."""
        return cls(np.zeros(count, np.int64), np.full(count, np.nan))

    def sorted_back(self, order_X: Ints) -> AskedFactors:
        """In the order before `AskedTokens.renumbered`, which returned `order_X`."""
        original = AskedFactors.empty(len(order_X))
        original.id_X[order_X], original.logprob_X[order_X] = self.id_X, self.logprob_X
        return original

    def of_sequences(self, order_X: Ints, asked_S: Sequence[AskedTokens]) -> list[AskedFactors]:
        """Those of each sequence; [] if nothing was asked for. order_X: from `AskedTokens.renumbered`."""
        if not len(order_X):
            return []
        original = self.sorted_back(order_X)
        bounds = offsets([len(asked) for asked in asked_S]).tolist()
        return [AskedFactors(original.id_X[a:b], original.logprob_X[a:b]) for a, b in pairwise(bounds)]
