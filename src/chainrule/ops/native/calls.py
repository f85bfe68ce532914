"""The compiled kernels on tensors. `supports` says of which; each row, or number, has the same bits in any company.

Shapes: N rows, D numbers of a row, M rows of a block, V columns, K terms.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import c_float, c_int, c_int32, c_int64, c_long, c_void_p
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from chainrule._types import Ints
from chainrule.ops.native import build
from chainrule.ops.native.tables import DEEPEST, check

_SUFFIX = {torch.float32: "f", torch.bfloat16: "b"}
SMALL = 16_384  # numbers below which a second thread costs more than it brings
WIDE = 16  # lanes that bfloat16, and attention, take to be faster than PyTorch's own
FEWEST = 6  # rows of a product (ROWS in kernels.c)
FEW, MANY = 4, 8  # the fewest columns (FEW in kernels.c) and the most rows of a product of few rows
WIDEST, COLUMNS = 256, 8  # numbers of a head, and what those of a value are a multiple of (WIDEST and STEP in kernels.c)


def supports(*tensors: Tensor) -> bool:
    """Whether the kernels take these: plain tensors on the CPU, of one type, without gaps, and no gradients are wanted."""
    dtype = tensors[0].dtype
    return _has(dtype) and all(_plain(x) and x.dtype == dtype and x.is_contiguous() for x in tensors)


def _plain(x: Tensor) -> bool:
    """Whether its numbers lie in memory as its type says: a subclass, a sparse tensor or a negated view may not."""
    return (
        (type(x) is Tensor or type(x) is nn.Parameter)
        and x.layout is torch.strided
        and x.is_cpu
        and not x.is_neg()
        and not (x.requires_grad and torch.is_grad_enabled())
    )


def supports_rows(logits_MV: Tensor) -> bool:
    """Whether `moments` and `count_greater` take these: float32 on the CPU, the numbers of a row side by side."""
    return bool(build.status()) and _rows(logits_MV)


def _rows(x: Tensor) -> bool:
    return _plain(x) and x.dtype == torch.float32 and x.dim() == 2 and x.stride(1) == 1


def _has(dtype: torch.dtype) -> bool:
    found = build.status()
    return bool(found) and (dtype == torch.float32 or (dtype == torch.bfloat16 and found.lanes >= WIDE))


def supports_product(hidden_MK: Tensor, weight_VK: Tensor) -> bool:
    """Whether `product` takes these, and is faster here than what PyTorch has: not where there are matrix units (AMX)."""
    return (
        hidden_MK.dtype == torch.bfloat16
        and supports(hidden_MK, weight_VK)
        and hidden_MK.shape[1] % 2 == 0
        and len(hidden_MK) >= FEWEST
        and build.status().product
    )


def rms_norm(x: Tensor, weight_D: Tensor, eps: float, offset: float = 0.0) -> Tensor:
    """x / √(mean x² + eps) · (weight + offset) over the last dimension (Zhang and Sennrich 2019), rounded once."""
    _demand(x.dtype, x=x, weight_D=weight_D)
    if x.dim() == 0 or x.shape[-1] == 0 or weight_D.shape != x.shape[-1:]:
        raise ValueError(f"x {tuple(x.shape)} wants a weight for each number of its rows, not {tuple(weight_D.shape)}")
    out = _empty(x.shape, x.dtype)
    _call("rms_norm", x, x, weight_D, out, c_long(x.numel() // x.shape[-1]), c_long(x.shape[-1]), c_float(eps), c_float(offset))
    return out


def gate(x: Tensor, by: Tensor | None, linear: float, cubic: float, out: Tensor | None = None) -> Tensor:
    """x · σ(linear · x + cubic · x³) · by, rounded once; `out` may be x.

    SiLU for (1, 0); GELU by tanh for √(8/π) · (1, 0.044715) (Hendrycks and Gimpel 2016).
    """
    out = _empty(x.shape, x.dtype) if out is None else out
    given = {"x": x, "out": out} if by is None else {"x": x, "by": by, "out": out}
    _demand(x.dtype, **given)
    if out.shape != x.shape or (by is not None and by.shape != x.shape):
        raise ValueError(f"x, by and out must have one shape, not {[tuple(given[name].shape) for name in given]}")
    _call("gate", x, x, by, out, c_long(x.numel()), c_float(linear), c_float(cubic))
    return out


def moments(logits_MV: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of each row: the maximum m, Σ exp(z − m) and Σ exp(z − m) · z, with 0 · −inf = 0. Rows may lie apart."""
    _demand_rows(logits_MV=logits_MV)
    top_M, sum_M, dot_M = (_empty(logits_MV.shape[:1], torch.float32) for _ in range(3))
    _call_rows("moments", logits_MV, top_M, sum_M, dot_M)
    return top_M, sum_M, dot_M


def count_greater(logits_MV: Tensor, than_M: Tensor) -> Tensor:
    """How many logits of each row exceed the one given for it, int64."""
    than_M = than_M.contiguous()
    _demand_rows(logits_MV=logits_MV)
    _demand(torch.float32, than_M=than_M)
    if than_M.shape != logits_MV.shape[:1]:
        raise ValueError(f"than_M must have a number for each of {len(logits_MV)} rows, not the shape {tuple(than_M.shape)}")
    count_M = _empty(than_M.shape, torch.int64)
    _call_rows("count_greater", logits_MV, than_M, count_M)
    return count_M


def supports_few(x_MK: Tensor, weight_NK: Tensor) -> bool:
    """Whether `few_rows` takes these: float32, and not so many rows that PyTorch's product is faster."""
    fits = x_MK.dtype == torch.float32 and x_MK.shape[0] <= MANY and weight_NK.shape[0] >= FEW
    return fits and supports(x_MK, weight_NK)


def few_rows(x_MK: Tensor, weight_NK: Tensor, out_MN: Tensor) -> None:
    """out = x · weightᵀ for few rows, in the time it takes to read the weight. Rows of `out_MN` may lie apart."""
    rows, columns, _ = _sizes(torch.float32, x_MK, weight_NK, out_MN)
    if columns < FEW:
        raise ValueError(f"few_rows takes a weight of at least {FEW} rows, not {columns}")
    _few_rows(x_MK, weight_NK, out_MN, out_MN.stride(0), rows)


def linear(x: Tensor, weight_NK: Tensor) -> Tensor | None:
    """x · weightᵀ by `few_rows` for x of shape … × K; None where that does not take them. Each call looks at them once."""
    (columns, terms), rows = weight_NK.shape, x.shape[:-1].numel()
    fits = x.dtype == torch.float32 and rows <= MANY and columns >= FEW and x.shape[-1] == terms
    if not fits or not supports(x, weight_NK):
        return None
    out = _empty((*x.shape[:-1], columns), torch.float32)
    _few_rows(x, weight_NK, out, columns, rows)
    return out


def _few_rows(x: Tensor, weight_NK: Tensor, out: Tensor, apart: int, rows: int) -> None:
    sizes = c_long(apart), c_long(rows), c_long(weight_NK.shape[0]), c_long(weight_NK.shape[1])
    _function("few_f")(_pointer(x), _pointer(weight_NK), _pointer(out), *sizes, _threads(weight_NK.numel()))


def product(hidden_MK: Tensor, weight_VK: Tensor, out_MV: Tensor) -> None:
    """out = hidden · weightᵀ in float32, of bfloat16 factors, not rounded to bfloat16. Rows of `out_MV` may lie apart."""
    rows, columns, terms = _sizes(torch.bfloat16, hidden_MK, weight_VK, out_MV)
    if rows < FEWEST or terms % 2:
        raise ValueError(f"product takes at least {FEWEST} rows of an even number of terms, not {rows} of {terms}")
    sizes = c_long(out_MV.stride(0)), c_long(rows), c_long(columns), c_long(terms)
    if _function("product_b")(*map(_pointer, (hidden_MK, weight_VK, out_MV)), *sizes, _threads(out_MV.numel())):
        raise MemoryError("there is no memory for a panel of the head's weights")


def _sizes(dtype: torch.dtype, x_MK: Tensor, weight_NK: Tensor, out_MN: Tensor) -> tuple[int, int, int]:
    """Rows, columns and terms of a product, which must fit together."""
    _demand(dtype, x_MK=x_MK, weight_NK=weight_NK)
    _demand_rows(out_MN=out_MN)
    (rows, columns), of_x, of_weight = out_MN.shape, x_MK.shape, weight_NK.shape
    if len(of_x) != 2 or of_x[0] != rows or of_weight != (columns, of_x[1]):
        shapes = [tuple(shape) for shape in (of_x, of_weight, out_MN.shape)]
        raise ValueError(f"the shapes of x, weight and out must be M × K, N × K and M × N, not {shapes}")
    if rows > 1 and out_MN.stride(0) < columns:
        raise ValueError(f"the rows of out overlap: they are {out_MN.stride(0)} apart, and {columns} long")
    return rows, columns, of_x[1]


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
        and _plain(query_HRD)
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
    heads, rows, groups, width, value_width = _attention_sizes(query_HRD, key_KGD, value_KGD)
    table_B6, task_A2, place = (np.ascontiguousarray(table, np.int64) for table in (table_B6, task_A2, place))
    check(table_B6, task_A2, place, rows, heads // groups, queries(), len(key_KGD))
    if window < 0:
        raise ValueError(f"a window is 0 (none) or more, not {window}")
    window = 0 if window > DEEPEST else window  # hides nothing; the kernel counts depths in 32 bits
    out_RHD, lse_RH = _empty((rows, heads, value_width), query_HRD.dtype), _empty((rows, heads), torch.float32)
    call = _Attention(
        *(x.data_ptr() for x in (query_HRD, key_KGD, value_KGD, out_RHD, lse_RH)),
        *(table.ctypes.data for table in (table_B6, task_A2, place)),
        *(len(task_A2), query_HRD.stride(1), query_HRD.stride(0), heads, groups, width, value_width, window),
        *(scaling, softcap, _threads(out_RHD.numel()).value),
    )
    if _function(f"attention_{_SUFFIX[query_HRD.dtype]}")(ctypes.byref(call)):
        raise MemoryError("there is no memory for the scores of a block of keys")
    return out_RHD, lse_RH


def _attention_sizes(query_HRD: Tensor, key_KGD: Tensor, value_KGD: Tensor) -> tuple[int, int, int, int, int]:
    """Heads, rows, groups, width of a key and of a value, which must fit together."""
    _demand(query_HRD.dtype, key_KGD=key_KGD, value_KGD=value_KGD)
    shapes = [tuple(x.shape) for x in (query_HRD, key_KGD, value_KGD)]
    if [len(shape) for shape in shapes] != [3, 3, 3] or not _plain(query_HRD) or query_HRD.stride(-1) != 1:
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


def _demand(dtype: torch.dtype, **tensors: Tensor) -> None:
    """The C code trusts what it is given: plain tensors of one type, without gaps."""
    if dtype not in _SUFFIX:
        raise ValueError(f"there are kernels of float32 and bfloat16, not of {dtype}")
    for name, x in tensors.items():
        if x.dtype != dtype or not _plain(x) or not x.is_contiguous():
            raise ValueError(f"{name} must be a plain, contiguous {dtype} tensor on the CPU, {_WITHOUT}, not {_described(x)}")


def _demand_rows(**tensors: Tensor) -> None:
    """Matrices in float32 whose rows may lie apart."""
    for name, x in tensors.items():
        if not _rows(x):
            raise ValueError(
                f"{name} must be a plain float32 matrix on the CPU, {_WITHOUT}, its rows whole, not {_described(x)}"
            )


_WITHOUT = "without gradients"


def _described(x: Tensor) -> str:
    return f"{type(x).__name__} {tuple(x.shape)} of {x.dtype}, {x.layout} on {x.device}"


def _empty(shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """All of it named: torch's defaults for type and device are the caller's to set."""
    return torch.empty(shape, dtype=dtype, device="cpu")


def _call(name: str, like: Tensor, *arguments: Any) -> None:
    given = [_pointer(a) if a is None or isinstance(a, Tensor) else a for a in arguments]
    _function(f"{name}_{_SUFFIX[like.dtype]}")(*given, _threads(like.numel()))


def _call_rows(name: str, logits_MV: Tensor, *others: Tensor) -> None:
    rows, columns = logits_MV.shape
    sizes = c_long(logits_MV.stride(0)), c_long(rows), c_long(columns)
    _function(name)(_pointer(logits_MV), *sizes, *map(_pointer, others), _threads(logits_MV.numel()))


def _function(name: str) -> Any:
    library: ctypes.CDLL | None = build.status().library
    if library is None:
        raise RuntimeError(f"there are no compiled kernels, which supports() would have told: {build.status().reason}")
    return getattr(library, name)


def _pointer(tensor: Tensor | None) -> c_void_p:
    return c_void_p(None if tensor is None else tensor.data_ptr())


def _threads(numbers: int) -> c_int:
    return c_int(torch.get_num_threads() if numbers > SMALL else 1)
