"""The columns of numbers that say how expected a text is to the model."""

from __future__ import annotations

from chainrule.results import column_values as values
from chainrule.results.columns import Column, Row

_TEXT, _TOKEN = (Row.DETECTORS,), (Row.DETECTORS_OF_TOKEN,)

OF_DETECTORS: tuple[Column, ...] = (
    Column(
        "min_k_nats", "double", "Min-K% Prob: mean log probability of the share k of the tokens that is least probable",
        _TEXT, "nats", batch=lambda result: result.min_k_nats,
    ),
    Column(
        "min_k_pp", "double", "Min-K%++: mean of as many lowest values of z; null if no token has one", _TEXT,
        batch=lambda result: values.null_if_nan(result.min_k_pp),
    ),
    Column(
        "fast_detect", "double", "Fast-DetectGPT: (Σ log Pr − Σ mean) / √(Σ variance); null if all variances are 0", _TEXT,
        batch=lambda result: values.null_if_nan(result.fast_detect),
    ),
    Column(
        "zlib_ratio", "double", "mean surprisal in nats / bytes of the text compressed by zlib; null without a text", _TEXT,
        "nats/byte", batch=lambda result: values.null_if_nan(result.zlib_ratio),
    ),
    Column(
        "min_k_share", "double", "k: the share of the tokens that `min_k_nats` and `min_k_pp` take", _TEXT,
        of=lambda result: result.k, batch=lambda result: [result.k] * len(result),
    ),
    Column(
        "tokens_without_variance", "int64", "number of tokens whose distribution has variance 0, so that they have no z",
        _TEXT, batch=lambda result: result.tokens_without_variance,
    ),
    Column(
        "logprob_mean", "double", "mean of log Pr under the conditional distribution: −entropy", _TOKEN, "nats",
        of=lambda result: 0.0 - result.score.entropies, batch=lambda result: 0.0 - result.scores.entropies,
    ),
    Column(
        "logprob_variance", "double", "variance of log Pr under the conditional distribution", _TOKEN, "nats²",
        of=lambda result: result.score.logprob_variances, batch=lambda result: result.scores.logprob_variances,
    ),
    Column(
        "z", "double", "(logprob − logprob_mean) / √logprob_variance; null if the variance is 0", _TOKEN,
        of=lambda result: values.none_if_nan(result.score.z_scores), batch=lambda result: values.null_if_nan(result.z_scores),
    ),
)  # fmt: skip
