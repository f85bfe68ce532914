"""The chain rule in any order: what is asked of whatever can condition a place on any set of other places.

Shapes: L places of a sequence, B questions, V vocabulary, N factors of all sequences together, in the order of prediction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from chainrule.engine.engine import Answer, Progress
from chainrule.engine.invariance import Invariance
from chainrule.forest.orders import Ordered

Ints = NDArray[np.int64]


class Place(NamedTuple):
    """One conditional: the distribution of the token at `target`, given those at `seen`, in a text of L tokens."""

    ids_L: Ints  # looked at in the places `seen` only
    seen: Ints  # in the order in which they became known
    target: int
    start_id: int | None = None


@dataclass(frozen=True)
class Support:
    """The tokens that can occur at all: a distribution is over these alone."""

    left_out: Ints  # ids whose probability is 0 by definition, ascending; empty: none
    says: str  # one line for people; "" where all of the vocabulary can occur


class Chain(Protocol):
    """Factors in any order, and single conditionals, of texts whose length is given."""

    model: Any  # name, head.size, device
    path: str
    reason: str
    how: str  # one line for people: what keeps the places not yet predicted from view
    support: Support
    causal: bool  # whether it is an ordinary causal model left to right: no factor depends then on the text's length

    @property
    def invariance(self) -> Invariance: ...

    def factors(self, sequences: list[Ordered], *, rows: int = ..., top: int = 0, progress: Progress | None = None) -> Answer:
        """Every factor of every sequence, in the order of prediction, one sequence after another; each distinct one once.

        Raises InputError, with the item, for a sequence that cannot be scored (too long, tokens that cannot occur), and
        ModelError where there is NaN.
        """
        ...

    def conditionals(self, places: list[Place], *, rows: int = ...) -> NDArray[np.float64]:
        """log Pr(v | seen) for every v of the vocabulary, B × V; −inf for what is outside the support."""
        ...
