"""The order in which the tokens of a sequence are predicted: any permutation of its positions.

    Pr(x) = Pr(x_σ0) · Pr(x_σ1 | e_σ0) · Pr(x_σ2 | e_σ0, e_σ1) · …

Shapes: L positions of a sequence, G of them given, T predicted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule._types import Ints
from chainrule.errors import InputError

NAMED = ("left-to-right", "right-to-left", "random")


@dataclass(frozen=True, eq=False)
class OrderedSequence:
    """A sequence of L tokens after an optional start symbol: given positions, and positions predicted one after another."""

    ids_L: Ints  # the token at each position of the text; any id at a position that is still to be filled
    order_T: Ints  # positions, in the order of prediction
    given_G: Ints  # the other positions, in the order in which they are fed to a model
    start_id: int | None = None

    def seen(self, step: int) -> Ints:
        """The positions that the factor of step `step` is conditioned on, in the order in which they became known."""
        return np.concatenate([self.given_G, self.order_T[:step]])

    @property
    def fed_L(self) -> Ints:
        """All positions in the order in which their tokens become known."""
        return np.concatenate([self.given_G, self.order_T])


def names_several_orders(order: Any) -> bool:
    """Whether this names several orders ("random:8", or a list of orders), and not one."""
    if isinstance(order, str):
        return ":" in order
    return isinstance(order, list | tuple) and any(isinstance(o, str | list | tuple | np.ndarray) for o in order)


def resolve(order: Any, length: int, seed: int = 0) -> list[Ints]:
    """The requested orders of a sequence of `length` positions.

    order: a permutation of 0 … length − 1; "left-to-right", "right-to-left", "random"; "random:8" for eight of those; or a
        list of any of these. Random orders depend on the seed and the length alone, so sequences of one length share them.
    Raises InputError for anything else.
    """
    draw = np.random.default_rng([seed, length])
    return [one for part in (order if names_several_orders(order) and not isinstance(order, str) else [order])
            for one in _resolve(part, length, draw)]  # fmt: skip


def _resolve(order: Any, length: int, draw: np.random.Generator) -> list[Ints]:
    if not isinstance(order, str):
        return [_permutation(order, length)]
    name, _, count = order.partition(":")
    if name == "random" and (not count or (count.isdigit() and int(count) > 0)):
        return [draw.permutation(length) for _ in range(int(count or 1))]
    if order == "left-to-right":
        return [np.arange(length)]
    if order == "right-to-left":
        return [np.arange(length)[::-1].copy()]
    raise InputError(
        f"order={order!r} is not an order: pass a permutation such as (0, 4, 2, 1, 3), 'left-to-right', 'right-to-left', "
        "'random', 'random:8' for eight random orders, or a list of orders"
    )


def _permutation(order: Sequence[int], length: int) -> Ints:
    try:
        positions = np.asarray(None if isinstance(order, bytes | bytearray | memoryview) else order)
    except (TypeError, ValueError):
        positions = np.zeros(0)
    if positions.ndim != 1 or positions.dtype.kind not in "iu" or sorted(positions.tolist()) != list(range(length)):
        raise InputError(
            f"order {str(order)[:60]} is not a permutation of the {length} positions 0 … {length - 1} of the tokens to score"
            if length > 1
            else f"order {str(order)[:60]} does not fit a single token: its only order is (0,)"
        )
    return positions.astype(np.int64)
