"""The attention kernel as a function of tensors; `supports_attention` reports which tensors it takes.

Shapes: H heads, R rows, K keys, G key-value heads, D width of a head, B tiles, A tasks.
"""

from __future__ import annotations

import ctypes
from ctypes import c_float, c_int32, c_int64, c_void_p

import numpy as np
import torch
from torch import Tensor

from chainrule._types import Ints
from chainrule.ops.native.arguments import SUFFIX, demand, empty, function, is_plain, supports, threads
from chainrule.ops.native.tables import DEEPEST, check

WIDEST, COLUMNS = 256, 8  # most numbers of a head; divisor of the width of values (WIDEST and STEP in attention.c)


class _Attention(ctypes.Structure):
    """The struct `attention` of attention.c."""

    _fields_ = (
        *((name, c_void_p) for name in ("query", "key", "value", "out", "logsumexp", "tiles", "task", "slots")),
        *((name, c_int64) for name in ("tasks", "query_row", "query_head")),
        *((name, c_int64) for name in ("heads", "groups", "width", "value_width", "window")),
        ("scaling", c_float),
        ("softcap", c_float),
        ("threads", c_int32),
    )


def queries() -> int:
    """The number of queries computed at a time: the lanes of a task."""
    return function("queries")()


def supports_attention(query_HRD: Tensor, key_KGD: Tensor, value_KGD: Tensor) -> bool:
    """Whether `attention` takes these: contiguous keys and values, contiguous numbers of a query, heads of at most 256."""
    return (
        supports(key_KGD, value_KGD)
        and is_plain(query_HRD)
        and (query_HRD.dtype, query_HRD.stride(-1)) == (key_KGD.dtype, 1)
        and query_HRD.shape[-1] <= WIDEST
        and value_KGD.shape[-1] <= WIDEST
        and value_KGD.shape[-1] % COLUMNS == 0
    )


def attention(
    query_HRD: Tensor,
    key_KGD: Tensor,
    value_KGD: Tensor,
    table_B6: Ints,
    task_A2: Ints,
    slots: Ints,
    scaling: float,
    window: int,
    softcap: float,
) -> tuple[Tensor, Tensor]:
    """softmax(scaling · q · kᵀ) · v of each row over its path, R × H × D, and the log-sum-exp of its scores, R × H in float32.

    table_B6: for each tile its first row, rows, first depth, the index in `slots` of its far keys (in whole blocks above the
    tile), their number, and the index of its near keys (in the tile's block). task_A2: tile and first lane of each task.
    slots: positions of keys. A window or softcap of 0 is none. Raises ValueError for arguments that do not match.
    """
    heads, rows, groups, width, value_width = _attention_sizes(query_HRD, key_KGD, value_KGD)
    table_B6, task_A2, slots = (np.ascontiguousarray(table, np.int64) for table in (table_B6, task_A2, slots))
    check(table_B6, task_A2, slots, rows, heads // groups, queries(), len(key_KGD))
    if window < 0:
        raise ValueError(f"a window is 0 (none) or more, not {window}")
    window = 0 if window > DEEPEST else window  # as good as none; depths have 32 bits in the kernel
    out_RHD, lse_RH = empty((rows, heads, value_width), query_HRD.dtype), empty((rows, heads), torch.float32)
    call = _Attention(
        *(x.data_ptr() for x in (query_HRD, key_KGD, value_KGD, out_RHD, lse_RH)),
        *(table.ctypes.data for table in (table_B6, task_A2, slots)),
        *(len(task_A2), query_HRD.stride(1), query_HRD.stride(0), heads, groups, width, value_width, window),
        *(scaling, softcap, threads(out_RHD.numel()).value),
    )
    if function(f"attention_{SUFFIX[query_HRD.dtype]}")(ctypes.byref(call)):
        raise MemoryError("there is no memory for the scores of a block of keys")
    return out_RHD, lse_RH


def _attention_sizes(query_HRD: Tensor, key_KGD: Tensor, value_KGD: Tensor) -> tuple[int, int, int, int, int]:
    """Heads, rows, groups, width of a key and of a value. Raises ValueError if the tensors do not match."""
    demand(query_HRD.dtype, key_KGD=key_KGD, value_KGD=value_KGD)
    shapes = [tuple(x.shape) for x in (query_HRD, key_KGD, value_KGD)]
    if [len(shape) for shape in shapes] != [3, 3, 3] or not is_plain(query_HRD) or query_HRD.stride(-1) != 1:
        raise ValueError(f"queries, keys and values must be plain tensors of three dimensions, not of the shapes {shapes}")
    (heads, rows, width), (keys, groups, key_width), (values, value_groups, value_width) = shapes
    if width != key_width or (keys, groups) != (values, value_groups) or groups == 0 or heads % groups:
        raise ValueError(
            f"queries, keys and values must be H × R × D, K × G × D and K × G × …, H a multiple of G, not {shapes}"
        )
    if not (0 < width <= WIDEST and 0 < value_width <= WIDEST and value_width % COLUMNS == 0):
        raise ValueError(
            f"heads of keys are 1 to {WIDEST} wide, of values a multiple of {COLUMNS}, not {width} and {value_width}"
        )
    return heads, rows, groups, width, value_width
