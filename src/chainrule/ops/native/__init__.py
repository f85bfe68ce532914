"""Loops in C for what a network computes besides matrix products, compiled on the user's machine where it has a compiler.

    kernels.c     norms, gates, the moments of logits, attention; products of few rows, and of bfloat16 factors
    build.py      compile once, keep, load; or say why not
    compiler.py   run the compiler; load what it made
    kept.py       the folder of what was made before
    calls.py      the same functions on tensors
    tables.py     whether what the attention kernel reads is there

Each has a plain PyTorch way beside it, where it is called, which gives the same answers and takes over without it.
"""

from chainrule.ops.native.build import status
from chainrule.ops.native.calls import (
    attention,
    count_greater,
    few_rows,
    gate,
    linear,
    moments,
    product,
    queries,
    rms_norm,
    supports,
    supports_attention,
    supports_few,
    supports_product,
    supports_rows,
)

__all__ = [
    "attention",
    "count_greater",
    "few_rows",
    "gate",
    "linear",
    "moments",
    "product",
    "queries",
    "rms_norm",
    "status",
    "supports",
    "supports_attention",
    "supports_few",
    "supports_product",
    "supports_rows",
]
