"""The values of columns that need more than one expression: for a batch at once, and for one result."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chainrule._types import Floats, Ints
from chainrule.results import units
from chainrule.results.columns import Batch
from chainrule.text.base import TokenizerLike, token_formatter
from chainrule.text.spans import distinct

if TYPE_CHECKING:
    import pyarrow


# Values that are computed for all rows of a batch at once


def bits(scores: Batch) -> list[float]:
    return [units.bits(logprob) for logprob in scores.logprob.tolist()]


def perplexities(scores: Batch) -> list[float]:
    pairs = zip(scores.logprob.tolist(), scores.tokens.tolist(), strict=True)
    return [units.perplexity(logprob, count) for logprob, count in pairs]


def bits_per_byte(scores: Batch) -> list[float | None]:
    pairs = zip(scores.logprob.tolist(), scores.bytes.tolist(), strict=True)
    return [units.bits_per_byte(logprob, size) for logprob, size in pairs]


def token_names(tokenizer: TokenizerLike | None, ids_T: NDArray[np.integer]) -> pyarrow.Array:
    """The tokens, readable. Each distinct one is looked up once."""
    import pyarrow

    name = token_formatter(tokenizer)
    id_U, which_T = distinct(ids_T)
    return pyarrow.array([name(id) for id in id_U.tolist()], pyarrow.string()).take(pyarrow.array(which_T))


def null_if_negative(value_T: Ints) -> pyarrow.Array:
    """The values, with null for −1."""
    import pyarrow

    return pyarrow.array(value_T, mask=value_T < 0)


def null_if_nan(values: Floats) -> pyarrow.Array:
    """The values, with null for NaN."""
    import pyarrow

    return pyarrow.array(values, mask=np.isnan(values))


def lists(scores: Batch, values: Any) -> pyarrow.Array:
    """T lists of k values each, from T × k values."""
    import pyarrow

    k = scores.top_ids.shape[1]
    bound_T1 = pyarrow.array(np.arange(len(scores.ids) + 1, dtype=np.int32) * np.int32(k))
    return pyarrow.ListArray.from_arrays(bound_T1, pyarrow.array(values) if isinstance(values, np.ndarray) else values)


# Values of one result


def span_bounds(score: Any, side: int) -> list[int | None]:
    return [None] * len(score) if score.spans is None else [span[side] for span in score.spans.char_spans]


def context_positions(score: Any) -> list[list[int]]:
    return [score.context_positions(i).tolist() for i in range(len(score))]


def alternatives(score: Any) -> list[list[dict[str, Any]]]:
    return [[{"token": token, "logprob": logprob} for token, logprob in score.top(i)] for i in range(len(score))]


def certificate_field(name: str) -> Callable[[Any], Any]:
    return lambda generated: None if generated.certificate is None else getattr(generated.certificate, name)


def none_if_nan(values: Floats) -> list[float | None]:
    return [None if value != value else value for value in values.tolist()]
