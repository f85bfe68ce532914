"""The chain rule in any order: what is asked of whatever can condition a place on any set of other places.

Shapes: L places of a sequence, B questions, V vocabulary, N factors of all sequences together, in the order of prediction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from chainrule._types import Floats, Ints
from chainrule.engine.engine import Answer, Progress
from chainrule.errors import InputError
from chainrule.forest.permutations import Ordered
from chainrule.verdict import Verdict


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
    def invariance(self) -> Verdict: ...

    def factors(
        self, sequences: list[Ordered], *, rows: int | None = ..., top: int = 0, progress: Progress | None = None
    ) -> Answer:
        """Every factor of every sequence, in the order of prediction, one sequence after another; each distinct one once.

        Raises InputError, with the item, for a sequence that cannot be scored (too long, tokens that cannot occur), and
        ModelError where there is NaN.
        """
        ...

    def conditionals(self, places: list[Place], *, rows: int | None = ...) -> Floats:
        """log Pr(v | seen) for every v of the vocabulary, B × V; −inf for what is outside the support."""
        ...


class Orderless(Chain, Protocol):
    """A chain in which a conditional depends on what is seen alone, and not on the order in which that became known."""

    def answer(
        self,
        places: Sequence[Place],
        token_N: Ints,
        *,
        rows: int | None = ...,
        top: int = 0,
        progress: Progress | None = None,
    ) -> Answer:
        """log Pr(token | seen) for each place and its token, and what is known of that conditional; each distinct one once."""
        ...


class Steps(Sequence[Place]):
    """The conditionals of sequences in their orders, one sequence after another; each is made when it is asked for."""

    def __init__(self, sequences: Sequence[Ordered]) -> None:
        self.sequences = sequences
        self.at_N = [(s, t) for s, ordered in enumerate(sequences) for t in range(len(ordered.order_T))]

    @property
    def token_N(self) -> Ints:
        """The tokens to be predicted."""
        return np.array([self.sequences[s].ids_L[self.sequences[s].order_T[t]] for s, t in self.at_N], np.int64)

    def __len__(self) -> int:
        return len(self.at_N)

    def __getitem__(self, n: Any) -> Any:
        s, t = self.at_N[n]
        ordered = self.sequences[s]
        return Place(ordered.ids_L, ordered.seen(t), int(ordered.order_T[t]), ordered.start_id)


def check_places(places: Sequence[Place]) -> None:
    """Raises InputError, with the item, for a place outside the text, or one that is asked about and seen at once."""
    for item, (ids_L, seen, target, _) in enumerate(places):
        wrong = [p for p in (*np.asarray(seen).tolist(), target) if not 0 <= p < len(ids_L)]
        if wrong:
            raise InputError(f"place {wrong[0]} is none of the {len(ids_L)} places 0 … {len(ids_L) - 1} of the text", item)
        if target in seen:
            raise InputError(f"place {target} is seen, so there is nothing to predict there", item)
