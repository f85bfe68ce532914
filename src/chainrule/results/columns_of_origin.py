"""The columns that say where a result comes from."""

from __future__ import annotations

from chainrule.results.columns import EVERY_ROW, SCORE, Column, Row

OF_ORIGIN: tuple[Column, ...] = (
    Column(
        "model", "string", "name of the model, as it was loaded", EVERY_ROW,
        batch=lambda scores: [scores.model] * len(scores),
    ),
    Column(
        "weights", "string", "title of the model, and the quantisation of its weights in their file", EVERY_ROW,
        of=lambda result: result.identity.weights, batch=lambda scores: [scores.identity.weights] * len(scores),
    ),
    Column(
        "revision", "string",
        "first 16 digits of the commit of a hub model, or of the SHA-256 of the weights; null for weights in memory", EVERY_ROW,
        of=lambda result: result.identity.short_revision, batch=lambda scores: [scores.identity.short_revision] * len(scores),
    ),
    Column(
        "dtype", "string", "dtype that the network computed in", EVERY_ROW,
        of=lambda result: result.identity.dtype, batch=lambda scores: [scores.identity.dtype] * len(scores),
    ),
    Column(
        "window", "int64", "most embeddings that a factor could be conditioned on; null without a limit",
        (*SCORE, Row.SEQUENCE_OF_TOKEN, Row.CANDIDATE, Row.GENERATED, Row.ORIGIN), "embeddings",
        batch=lambda scores: [scores.window] * len(scores),
    ),
    Column(
        "chainrule", "string", "version of chainrule", EVERY_ROW,
        of=lambda result: result.identity.chainrule, batch=lambda scores: [scores.identity.chainrule] * len(scores),
    ),
)  # fmt: skip
