"""The compiled kernels on tensors. `supports` says of which; each row, or number, has the same bits in any company.

Shapes: N rows, D numbers of a row, M rows of a block, V columns, K terms.
"""

from __future__ import annotations

import ctypes
from ctypes import c_float, c_int, c_int32, c_int64, c_long, c_void_p
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from chainrule.native import build

Ints = NDArray[np.int64]

_SUFFIX = {torch.float32: "f", torch.bfloat16: "b"}
SMALL = 16_384  # numbers below which a second thread costs more than it brings
WIDE = 16  # lanes that bfloat16, and attention, take to be faster than PyTorch's own
FEWEST = 6  # rows of a product (ROWS in kernels.c)
FEW, MANY = 4, 8  # the fewest columns (FEW in kernels.c) and the most rows of a product of few rows
WIDEST, COLUMNS = 256, 8  # numbers of a head, and what those of a value are a multiple of (WIDEST and STEP in kernels.c)


def supports(*tensors: Tensor) -> bool:
    """Whether the kernels take these: on the CPU, of one type, without gaps, and no gradients are wanted."""
    dtype = tensors[0].dtype
    return _has(dtype) and all(
        x.dtype == dtype and x.device.type == "cpu" and x.is_contiguous() and not _needs_gradients(x) for x in tensors
    )


def _needs_gradients(x: Tensor) -> bool:
    return x.requires_grad and torch.is_grad_enabled()


def supports_rows(logits_MV: Tensor) -> bool:
    """Whether `moments` and `count_greater` take these: float32 on the CPU, the numbers of a row side by side."""
    return (
        logits_MV.dtype == torch.float32
        and logits_MV.device.type == "cpu"
        and logits_MV.stride(1) == 1
        and bool(build.status())
    )


def _has(dtype: torch.dtype) -> bool:
    found = build.status()
    return bool(found) and (dtype == torch.float32 or (dtype == torch.bfloat16 and found.lanes >= WIDE))


def supports_product(hidden_MK: Tensor, weight_VK: Tensor) -> bool:
    """Whether `product` takes these, and is faster here than what PyTorch has: not where there are matrix units (AMX)."""
    return (
        hidden_MK.dtype == torch.bfloat16
        and hidden_MK.shape[1] % 2 == 0
        and len(hidden_MK) >= FEWEST
        and supports(hidden_MK, weight_VK)
        and build.status().product
    )


def rms_norm(x: Tensor, weight_D: Tensor, eps: float, offset: float = 0.0) -> Tensor:
    """x / √(mean x² + eps) · (weight + offset) over the last dimension (Zhang and Sennrich 2019), rounded once."""
    out = torch.empty_like(x)
    _call("rms_norm", x, x, weight_D, out, c_long(x.numel() // x.shape[-1]), c_long(x.shape[-1]), c_float(eps), c_float(offset))
    return out


def gate(x: Tensor, by: Tensor | None, linear: float, cubic: float, out: Tensor | None = None) -> Tensor:
    """x · σ(linear · x + cubic · x³) · by, rounded once; `out` may be x.

    SiLU for (1, 0); GELU by tanh for √(8/π) · (1, 0.044715) (Hendrycks and Gimpel 2016).
    """
    out = torch.empty_like(x) if out is None else out
    _call("gate", x, x, by, out, c_long(x.numel()), c_float(linear), c_float(cubic))
    return out


def moments(logits_MV: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of each row: the maximum m, Σ exp(z − m) and Σ exp(z − m) · z, with 0 · −inf = 0. Rows may lie apart."""
    top_M, sum_M, dot_M = (torch.empty(len(logits_MV)) for _ in range(3))
    _call_rows("moments", logits_MV, top_M, sum_M, dot_M)
    return top_M, sum_M, dot_M


def count_greater(logits_MV: Tensor, than_M: Tensor) -> Tensor:
    """How many logits of each row exceed the one given for it, int64."""
    count_M = torch.empty(len(logits_MV), dtype=torch.int64)
    _call_rows("count_greater", logits_MV, than_M.contiguous(), count_M)
    return count_M


def supports_few(x_MK: Tensor, weight_NK: Tensor) -> bool:
    """Whether `few_rows` takes these: float32, and not so many rows that PyTorch's product is faster."""
    return x_MK.dtype == torch.float32 and len(x_MK) <= MANY and len(weight_NK) >= FEW and supports(x_MK, weight_NK)


def few_rows(x_MK: Tensor, weight_NK: Tensor, out_MN: Tensor) -> None:
    """out = x · weightᵀ for few rows, in the time it takes to read the weight. Rows of `out_MN` may lie apart."""
    (rows, terms), columns = x_MK.shape, len(weight_NK)
    sizes = c_long(out_MN.stride(0)), c_long(rows), c_long(columns), c_long(terms)
    _function("few_f")(*map(_pointer, (x_MK, weight_NK, out_MN)), *sizes, _threads(weight_NK.numel()))


def product(hidden_MK: Tensor, weight_VK: Tensor, out_MV: Tensor) -> None:
    """out = hidden · weightᵀ in float32, of bfloat16 factors, not rounded to bfloat16. Rows of `out_MV` may lie apart."""
    (rows, terms), columns = hidden_MK.shape, len(weight_VK)
    sizes = c_long(out_MV.stride(0)), c_long(rows), c_long(columns), c_long(terms)
    if _function("product_b")(*map(_pointer, (hidden_MK, weight_VK, out_MV)), *sizes, _threads(out_MV.numel())):
        raise MemoryError("there is no memory for a panel of the head's weights")


class _Attention(ctypes.Structure):
    """`attention` of kernels.c."""

    _fields_ = (
        *((name, c_void_p) for name in ("query", "key", "value", "out", "logsumexp", "tiles", "task", "place")),
        *((name, c_int64) for name in ("tasks", "query_row", "query_head")),
        *((name, c_int64) for name in ("heads", "groups", "width", "value_width", "window")),
        ("scaling", c_float),
        ("softcap", c_float),
        ("threads", c_int32),
    )


def queries() -> int:
    """How many queries are attended to at a time: the lanes of a task."""
    return _function("queries")()


def supports_attention(query_HRD: Tensor, key_KGD: Tensor, value_KGD: Tensor) -> bool:
    """Whether `attention` takes these: the numbers of a query, and all of the keys, side by side; heads of up to 256."""
    return (
        supports(key_KGD, value_KGD)
        and build.status().lanes >= WIDE
        and (query_HRD.dtype, query_HRD.device, query_HRD.stride(-1)) == (key_KGD.dtype, key_KGD.device, 1)
        and not _needs_gradients(query_HRD)
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
    place: Ints,
    scaling: float,
    window: int,
    softcap: float,
) -> tuple[Tensor, Tensor]:
    """softmax(scaling · q · kᵀ) · v of each row over its path, R × H × D, and the scores' log-sum-exp, R × H in float32.

    `table_B6`: for each tile its first row, rows, first depth, where in `place` the places of whole blocks above it begin,
    how many there are, and where those within its block begin. `task_A2`: tile and first lane of each task. A window or
    softcap of 0 is none.
    """
    (heads, rows, width), (_, groups, value_width) = query_HRD.shape, value_KGD.shape
    out_RHD, lse_RH = query_HRD.new_empty(rows, heads, value_width), torch.empty(rows, heads)
    tables = [np.ascontiguousarray(table, np.int64) for table in (table_B6, task_A2, place)]
    call = _Attention(
        *(x.data_ptr() for x in (query_HRD, key_KGD, value_KGD, out_RHD, lse_RH)),
        *(table.ctypes.data for table in tables),
        *(len(task_A2), query_HRD.stride(1), query_HRD.stride(0), heads, groups, width, value_width, window),
        *(scaling, softcap, _threads(out_RHD.numel()).value),
    )
    if _function(f"attention_{_SUFFIX[query_HRD.dtype]}")(ctypes.byref(call)):
        raise MemoryError("there is no memory for the scores of a block of keys")
    return out_RHD, lse_RH


def _call(name: str, like: Tensor, *arguments: Any) -> None:
    given = [_pointer(a) if a is None or isinstance(a, Tensor) else a for a in arguments]
    _function(f"{name}_{_SUFFIX[like.dtype]}")(*given, _threads(like.numel()))


def _call_rows(name: str, logits_MV: Tensor, *others: Tensor) -> None:
    rows, columns = logits_MV.shape
    sizes = c_long(logits_MV.stride(0)), c_long(rows), c_long(columns)
    _function(name)(_pointer(logits_MV), *sizes, *map(_pointer, others), _threads(logits_MV.numel()))


def _function(name: str) -> Any:
    library: ctypes.CDLL | None = build.status().library
    assert library is not None, "supports() was not asked"
    return getattr(library, name)


def _pointer(tensor: Tensor | None) -> c_void_p:
    return c_void_p(None if tensor is None else tensor.data_ptr())


def _threads(numbers: int) -> c_int:
    return c_int(torch.get_num_threads() if numbers > SMALL else 1)
