"""The columns of results in an order of prediction, or in several."""

from __future__ import annotations

import numpy as np

from chainrule.results import column_values as values
from chainrule.results.columns import Column, Row

_LENGTH_GIVEN = "whether factors may depend on the length of the text"

OF_ORDERS: tuple[Column, ...] = (
    Column(
        "logprob", "double", "log of the mean of the probabilities in each order", (Row.TEXT,), "nats",
        batch=lambda mixtures: mixtures.logprob,
    ),
    Column("bits", "double", "−log2 of that mean", (Row.TEXT,), "bits", batch=values.bits),
    Column(
        "logprob_spread", "double", "largest log probability minus the smallest, over the orders", (Row.TEXT,), "nats",
        batch=lambda mixtures: mixtures.logprob_spread,
    ),
    Column(
        "logprobs", "list<double>", "log probability in each order", (Row.TEXT,), "nats",
        batch=lambda mixtures: mixtures.logprobs.tolist(),
    ),
    Column(
        "orders", "list<list<int32>>", "each order: positions, first predicted first", (Row.TEXT,),
        of=lambda mixture: [order.tolist() for order in mixture.orders],
    ),
    Column("order", "list<int32>", "positions in the order of prediction", (Row.ORDERED,)),
    Column("given", "list<int32>", "positions that are given", (Row.ORDERED,)),
    Column("length", "int32", "tokens of the whole sequence, context included", (Row.ORDERED,), "tokens"),
    Column("length_given", "bool", _LENGTH_GIVEN, (Row.ORDERED,)),
    Column("how", "string", "how positions that are not predicted yet are hidden", (Row.ORDERED,)),
    Column("support", "string", "which tokens cannot occur, if some cannot", (Row.ORDERED,)),
    Column(
        "position", "int64", "position of the token in the whole sequence, context included",
        (Row.ORDERED_TOKEN, Row.ORDERED_FACTOR),
        of=lambda score: score.ordering.places, batch=lambda scores: np.concatenate([o.places for o in scores.orderings]),
    ),
    Column(
        "step", "int64", "at which step the token was predicted, from 0", (Row.ORDERED_TOKEN,),
        of=lambda score: score.ordering.steps, batch=lambda scores: np.concatenate([o.steps for o in scores.orderings]),
    ),
    Column(
        "context_positions", "list<int32>",
        "positions that the factor was conditioned on, in the order in which they became known",
        (Row.ORDERED_TOKEN, Row.ORDERED_FACTOR), of=values.context_positions,
    ),
    Column(
        "length_given", "bool", _LENGTH_GIVEN, (Row.ORDERED_TOKEN,),
        of=lambda score: [score.ordering.length_given] * len(score),
    ),
)  # fmt: skip
