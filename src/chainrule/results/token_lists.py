"""Lists of tokens with log probabilities, one list for each factor: targets, and random draws.

Shapes: T factors, X tokens of all lists, K draws for each factor.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from chainrule._types import Floats, Ints
from chainrule.forest.forest import offsets, ranges

if TYPE_CHECKING:
    import pyarrow

Number = TypeVar("Number", np.int64, np.float64)


@dataclass(frozen=True, eq=False)
class TokenLists:
    """T lists of tokens: list t has the entries offsets[t] … offsets[t + 1] − 1 of the other arrays."""

    offsets: Ints
    ids: Ints
    logprobs: Floats  # natural logs

    @classmethod
    def of(cls, count_T: Ints, ids: Ints, logprobs: Floats) -> TokenLists:
        """Lists with these numbers of tokens, one after another."""
        return cls(offsets(count_T), ids, logprobs)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, which: slice | NDArray[np.bool_]) -> TokenLists:
        """Some of the lists. Consecutive ones are views of these arrays."""
        number_T = np.arange(len(self))[which]
        count_T = np.diff(self.offsets)[number_T]
        if isinstance(which, slice) and which.step in (None, 1):
            first = self.offsets[which.indices(len(self))[0]]
            entries: slice | Ints = slice(first, first + count_T.sum())
        else:
            entries = ranges(self.offsets[number_T], count_T)
        return TokenLists(offsets(count_T), self.ids[entries], self.logprobs[entries])

    @cached_property
    def id_lists(self) -> list[Ints]:
        """The ids of each list: views."""
        return np.split(self.ids, self.offsets[1:-1]) if len(self) else []

    @cached_property
    def logprob_lists(self) -> list[Floats]:
        """The log probabilities of each list, in nats: views."""
        return np.split(self.logprobs, self.offsets[1:-1]) if len(self) else []

    def table(self, values: NDArray[Number]) -> NDArray[Number]:
        """Values of all tokens as an array T × K, of lists of equal length."""
        return values.reshape(len(self), len(values) // max(1, len(self)))

    def arrow(self, values: Ints | Floats) -> pyarrow.ListArray:
        """Values of all tokens as lists of Arrow."""
        import pyarrow

        return pyarrow.ListArray.from_arrays(pyarrow.array(self.offsets, pyarrow.int32()), pyarrow.array(values))


@dataclass(frozen=True, eq=False, kw_only=True)
class WithTokenLists:
    """A result with the log probabilities of given ids (`targets=`) and of random draws (`draws=`) at each of its factors."""

    targets: TokenLists | None = None
    draws: TokenLists | None = None  # K for each factor

    @property
    def target_ids(self) -> list[Ints]:
        """The ids that were passed as `targets`: one array for each factor. Empty without targets."""
        return [] if self.targets is None else self.targets.id_lists

    @property
    def target_logprobs(self) -> list[Floats]:
        """log Pr of each target in place of the factor's token, in nats: one array for each factor."""
        return [] if self.targets is None else self.targets.logprob_lists

    @property
    def draw_ids(self) -> Ints:
        """`draws` random tokens from the distribution of each factor, T × K; −1 if all tokens are impossible."""
        return np.zeros((0, 0), np.int64) if self.draws is None else self.draws.table(self.draws.ids)

    @property
    def draw_logprobs(self) -> Floats:
        """log Pr of each draw, in nats: T × K."""
        return np.zeros((0, 0)) if self.draws is None else self.draws.table(self.draws.logprobs)
