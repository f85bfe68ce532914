"""Sets of tokens, whose probabilities the readout computes at every position.

Shapes: V vocabulary, K sets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from chainrule._types import Ints

MOST = 8  # sets at a time: bits of a byte


@dataclass(frozen=True, eq=False)
class TokenSets:
    """K sets of token ids: bit k of member_V[v] says whether token v is in set k."""

    count: int
    member_V: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(0, np.uint8))

    @classmethod
    def of(cls, ids: Sequence[Ints], size: int) -> TokenSets:
        """The sets of these ids, under a vocabulary of `size` tokens. Raises ValueError for more than eight sets."""
        if len(ids) > MOST:
            raise ValueError(f"there are at most {MOST} sets at a time, not {len(ids)}")
        member_V = np.zeros(size, np.uint8)
        for k, own in enumerate(ids):
            member_V[own] |= 1 << k
        return cls(len(ids), member_V)

    def __len__(self) -> int:
        return self.count

    def ids(self, k: int) -> Ints:
        """The tokens of set k, ascending."""
        return np.flatnonzero(self.member_V >> k & 1)


NO_SETS = TokenSets(0)
