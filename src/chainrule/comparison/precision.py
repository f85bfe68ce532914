"""The rounding errors of narrow dtypes, measured: the model's own forward of a text in one dtype and in another.

Shapes: T factors of the text.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from chainrule._types import Floats, Ints
from chainrule.models.transformer import Network
from chainrule.ops.sealed import sealed

MOST_WEIGHTS = 1 << 30  # a copy of a larger network takes too much memory
LONGEST = 256  # tokens of the text that are run
SLACK = 3  # allowed error, as a multiple of the measured one
DIGITS = {torch.float64: 5e-4, torch.float32: 5e-4, torch.float16: 2.0**-6, torch.bfloat16: 2.0**-3}  # nats; at least


def agreement(model: Any, ids: Ints) -> float:
    """The largest difference of a factor that rounding explains, in nats, between this model and the same one in float32."""
    least = DIGITS[model.dtype]
    if model.dtype in (torch.float32, torch.float64) or not _can_copy(model):
        return least
    with model.temporary_trial(torch.float32) as wide:
        error = _factors(model, ids, torch.float32) - _factors(wide, ids, torch.float32)
    return max(least, SLACK * _largest(error))


def rounding(model: Any, ids: Ints, dtype: torch.dtype) -> tuple[float, float]:
    """The same for `dtype`: with the log-softmax in float32, and with the log-softmax in `dtype` too; 0, 0 if unknown."""
    if not _can_copy(model) or model.dtype not in (torch.float32, torch.float64) or len(ids) < 2:
        return 0.0, 0.0
    ours = _factors(model, ids, torch.float64)
    with _narrow(model, dtype) as narrow:
        try:
            errors = [_largest(_factors(narrow, ids, softmax) - ours) for softmax in (torch.float32, dtype)]
        except RuntimeError:  # an operation that this dtype lacks
            return 0.0, 0.0
    logits, logprobs = (SLACK * error for error in errors)
    return logits, max(logits, logprobs)


def _can_copy(model: Any) -> bool:
    return isinstance(model, Network) and sum(p.numel() for p in model.lm.parameters()) <= MOST_WEIGHTS


@contextmanager
def _narrow(model: Any, dtype: torch.dtype) -> Iterator[Any]:
    lm = copy.deepcopy(model.lm).to(dtype)
    narrow = type(model)(lm, model.name)
    try:
        yield narrow
    finally:
        narrow.release(model)


@sealed
def _factors(model: Any, ids: Ints, softmax: torch.dtype) -> Floats:
    """log Pr(ids[i] | ids[:i]) for i = 1 … by the model's own forward, with a log-softmax in this dtype."""
    ids_T = torch.from_numpy(ids[:LONGEST])
    logits_TV = model.own_logits(ids_T[:-1]).to(softmax)
    return logits_TV.log_softmax(-1).double().cpu().numpy()[np.arange(len(ids_T) - 1), ids_T[1:].numpy()]


def _largest(error_T: Floats) -> float:
    finite = error_T[np.isfinite(error_T)]
    return float(np.abs(finite).max(initial=0.0))
