"""Statistics of factors: computed by the readout, carried by the engine, part of every result.

To add a statistic of each factor, add a field and a property here, a reduction to `engine.head.reductions`, and a column to
`results.schema`.

Shapes: N factors, k alternatives, K sets of tokens.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chainrule._types import Bools, Floats, Ints

_LN2 = math.log(2)

# Of a field: its dtype, the value of a factor that was not computed, and what a factor has several values for: its
# alternatives (N × k) or the sets of tokens (N × K)
_FLOAT = {"dtype": np.float64, "missing": np.nan, "each": None}
_INTEGER = {"dtype": np.int32, "missing": 0, "each": None}


@dataclass(frozen=True, eq=False)
class Statistics:
    """The statistics of N factors, with natural logs. See `WithStatistics` for their meaning."""

    logprobs: Floats = field(metadata=_FLOAT)
    ranks: NDArray[np.int32] = field(metadata=_INTEGER)
    entropies: Floats = field(metadata=_FLOAT)
    logprob_variances: Floats = field(metadata=_FLOAT)
    top_ids: NDArray[np.int32] = field(metadata=_INTEGER | {"each": "top"})
    top_logprobs: Floats = field(metadata=_FLOAT | {"each": "top"})
    set_logprobs: Floats = field(metadata=_FLOAT | {"each": "sets"})

    @classmethod
    def empty(cls, count: int, top: int, sets: int = 0) -> Statistics:
        """Statistics of `count` factors with `top` alternatives and the masses of `sets` sets of tokens, to be written."""
        shapes = {None: count, "top": (count, top), "sets": (count, sets)}
        kinds = (each.metadata for each in fields(cls))
        return cls(*(np.full(shapes[kind["each"]], kind["missing"], kind["dtype"]) for kind in kinds))

    @classmethod
    def concatenate(cls, parts: Sequence[Statistics]) -> Statistics:
        """The factors of all parts, one part after another."""
        return cls(*(np.concatenate(arrays) for arrays in zip(*(part.arrays for part in parts), strict=True)))

    @property
    def arrays(self) -> tuple[NDArray[Any], ...]:
        """The arrays, in the order of the fields."""
        return tuple(vars(self).values())

    def __getitem__(self, index: Ints | Bools | slice) -> Statistics:
        """The statistics of these factors alone."""
        return Statistics(*(array[index] for array in self.arrays))

    def write(self, index: Ints | slice, values: Mapping[str, ArrayLike]) -> None:
        """Write the values of these factors; `values` has an entry for each field."""
        for each in fields(self):
            getattr(self, each.name)[index] = values[each.name]


@dataclass(frozen=True, eq=False)
class WithStatistics:
    """A result with the statistics of its factors: arrays with one row per factor. Logs are natural, in float64."""

    statistics: Statistics  # the arrays that the properties return

    @property
    def logprobs(self) -> Floats:
        """log Pr of each token given the embeddings before it, in nats."""
        return self.statistics.logprobs

    @property
    def surprisals_bits(self) -> Floats:
        """−log2 of each factor."""
        return -self.logprobs / _LN2

    @property
    def ranks(self) -> NDArray[np.int32]:
        """The rank of each token: 1 for the most probable one."""
        return self.statistics.ranks

    @property
    def entropies(self) -> Floats:
        """The entropy of each conditional distribution, in nats."""
        return self.statistics.entropies

    @property
    def entropies_bits(self) -> Floats:
        """The entropy of each conditional distribution, in bits."""
        return self.statistics.entropies / _LN2

    @property
    def logprob_variances(self) -> Floats:
        """The variance of log Pr under each conditional distribution, Σ_v Pr(v) (log Pr(v) + entropy)², in nats²."""
        return self.statistics.logprob_variances

    @property
    def top_ids(self) -> NDArray[np.int32]:
        """The k most probable tokens at each position (`top=k`), most probable first: N × k."""
        return self.statistics.top_ids

    @property
    def top_logprobs(self) -> Floats:
        """Their log probabilities, in nats: N × k."""
        return self.statistics.top_logprobs

    @property
    def set_logprobs(self) -> Floats:
        """log of the probability that the token at each position is in each of K sets of tokens, in nats: N × K."""
        return self.statistics.set_logprobs
