"""Kernels in C for what a network computes, compiled on the user's machine if it has a compiler.

    vectors.h           vectors of floats: loads, stores, exp, transposition
    tiles.h             tile registers of matrix units (AMX)
    elementwise.c       norms and gates
    readout.c           moments of logits, sums over sets, counts
    matmul.c            products of float32 matrices
    products.c          products of few rows, and of bfloat16 factors
    attention.c         attention of rows to their paths
    arguments.py        checks of arguments, and their conversion for C
    calls.py            the kernels as functions of tensors
    attention_calls.py  the attention kernel as a function of tensors
    tables.py           bounds checks for the tables that the attention kernel reads

`ops/library/` compiles, keeps and loads them. Every caller also has a plain PyTorch implementation with the same results,
which is used where a kernel is not supported.
"""

from chainrule.ops.library.build import status
from chainrule.ops.native.arguments import supports
from chainrule.ops.native.attention_calls import attention, queries, supports_attention
from chainrule.ops.native.calls import (
    count_greater,
    few_rows,
    gate,
    in_lanes,
    linear,
    matmul,
    moments,
    product,
    rms_norm,
    set_sums,
    supports_few,
    supports_matmul,
    supports_product,
    supports_rows,
)

__all__ = [
    "attention",
    "count_greater",
    "few_rows",
    "gate",
    "in_lanes",
    "linear",
    "matmul",
    "moments",
    "product",
    "queries",
    "rms_norm",
    "set_sums",
    "status",
    "supports",
    "supports_attention",
    "supports_few",
    "supports_matmul",
    "supports_product",
    "supports_rows",
]
