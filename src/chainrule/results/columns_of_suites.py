"""The columns of suites: regions, predictions for each item, and their accuracy."""

from __future__ import annotations

from chainrule.results.columns import Column, Row

_REGION, _OUTCOME, _PREDICTION = (Row.REGION,), (Row.OUTCOME,), (Row.PREDICTION,)

OF_SUITES: tuple[Column, ...] = (
    Column("item", "int64", "number of the item", (Row.REGION, Row.OUTCOME)),
    Column("condition", "string", "the condition", _REGION),
    Column("region", "int64", "number of the region", _REGION),
    Column("region_name", "string", "its name", _REGION),
    Column("content", "string", "its text", _REGION),
    Column(
        "surprisal_bits", "double", "sum of the surprisals of its tokens; null if one of them is given and has none", _REGION,
        "bits",
    ),
    Column("tokens", "int64", "number of its tokens", _REGION),
    Column(
        "boundary", "string", "`clean`, or `token crosses` if one of its tokens also holds characters of the next region",
        _REGION,
    ),
    Column("crossing", "list<string>", "those tokens", _REGION),
    Column("prediction", "int64", "number of the prediction, from 1", (Row.OUTCOME, Row.PREDICTION)),
    Column("formula", "string", "the formula of the prediction", (Row.OUTCOME, Row.PREDICTION)),
    Column("holds", "bool", "whether the prediction holds for the item", _OUTCOME),
    Column("accuracy", "double", "successes / n", _PREDICTION),
    Column("accuracy_low", "double", "lower end of its 95 % Wilson interval", _PREDICTION),
    Column("accuracy_high", "double", "upper end", _PREDICTION),
    Column("successes", "int64", "number of items for which the prediction holds", _PREDICTION),
    Column("n", "int64", "number of items", _PREDICTION),
)  # fmt: skip
