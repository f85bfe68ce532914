"""The columns of measures of acceptability."""

from __future__ import annotations

from chainrule.results import column_values as values
from chainrule.results.columns import Column, Row

OF_ACCEPTABILITY: tuple[Column, ...] = (
    Column(
        "mean_lp_nats", "double", "MeanLP: logprob / tokens", (Row.ACCEPTABILITY,), "nats",
        batch=lambda result: result.mean_lp_nats,
    ),
    Column(
        "pen_lp_nats", "double", "PenLP: logprob / ((5 + tokens) / 6)^0.8", (Row.ACCEPTABILITY,), "nats",
        batch=lambda result: result.pen_lp_nats,
    ),
    Column(
        "unigram_logprob", "double", "log probability of the tokens under the unigram distribution", (Row.UNIGRAM,), "nats",
        batch=lambda result: result.unigram_logprob,
    ),
    Column("norm_lp", "double", "NormLP: −logprob / unigram_logprob", (Row.UNIGRAM,), batch=lambda result: result.norm_lp),
    Column(
        "slor_nats", "double", "SLOR: (logprob − unigram_logprob) / tokens", (Row.UNIGRAM,), "nats",
        batch=lambda result: result.slor_nats,
    ),
    Column(
        "logprob_alone", "double", "log probability of the same tokens without the context; null if there is none",
        (Row.PMI,), "nats", batch=lambda result: values.null_if_nan(result.logprob_alone),
    ),
    Column(
        "pmi_nats", "double", "pointwise mutual information with the context: logprob − logprob_alone", (Row.PMI,), "nats",
        batch=lambda result: values.null_if_nan(result.pmi_nats),
    ),
)  # fmt: skip
