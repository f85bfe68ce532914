"""The compiled kernels as functions of tensors; the `supports` functions report which tensors they take.

Every kernel is row-invariant: the bits of each row, or number, do not depend on the others.

Shapes: N rows, D numbers of a row, M rows of a block, V columns, K terms.
"""

from __future__ import annotations

from ctypes import c_float, c_int, c_long
from typing import Any

import torch
from torch import Tensor

from chainrule.ops.library import build
from chainrule.ops.native.arguments import (
    SUFFIX,
    demand,
    demand_rows,
    described,
    empty,
    function,
    is_plain,
    is_plain_rows,
    pointer,
    supports,
    threads,
)

SETS = 8  # the most sets of columns: bits of a byte
FEWEST = 6  # rows of a product (ROWS in products.c)
LANES = 16  # rows that `in_lanes` computes at a time (GROUP in products.c)
FEW, MANY = 4, 8  # the fewest columns (FEW in products.c) and the most rows of a product of few rows


def supports_rows(logits_MV: Tensor) -> bool:
    """Whether `moments`, `set_sums` and `count_greater` take these: float32 on the CPU, with contiguous rows."""
    return bool(build.status()) and is_plain_rows(logits_MV)


def supports_product(hidden_MK: Tensor, weight_VK: Tensor) -> bool:
    """Whether `product` takes these."""
    return (
        hidden_MK.dtype == torch.bfloat16
        and supports(hidden_MK, weight_VK)
        and hidden_MK.shape[1] % 2 == 0
        and build.status().product
    )


def supports_matmul(x_NK: Tensor, weight_KM: Tensor, bias_M: Tensor | None = None) -> bool:
    """Whether `matmul` takes these, once x is contiguous, and is faster than PyTorch's product."""
    if x_NK.dtype != torch.float32 or not build.status().matmul or not is_plain(x_NK):
        return False
    weight = weight_KM.T if weight_KM.stride(0) == 1 else weight_KM
    return supports(weight) if bias_M is None else supports(weight, bias_M)


def rms_norm(x: Tensor, weight_D: Tensor, eps: float, offset: float = 0.0) -> Tensor:
    """x / √(mean x² + eps) · (weight + offset) over the last dimension (Zhang and Sennrich 2019), rounded once."""
    demand(x.dtype, x=x, weight_D=weight_D)
    if x.dim() == 0 or x.shape[-1] == 0 or weight_D.shape != x.shape[-1:]:
        raise ValueError(f"x {tuple(x.shape)} needs a weight for each number of its rows, not {tuple(weight_D.shape)}")
    out = empty(x.shape, x.dtype)
    _call("rms_norm", x, x, weight_D, out, c_long(x.numel() // x.shape[-1]), c_long(x.shape[-1]), c_float(eps), c_float(offset))
    return out


def gate(x: Tensor, by: Tensor | None, linear: float, cubic: float, out: Tensor | None = None) -> Tensor:
    """x · σ(linear · x + cubic · x³) · by, rounded once; `out` may be x.

    SiLU for (1, 0); GELU by tanh for √(8/π) · (1, 0.044715) (Hendrycks and Gimpel 2016).
    """
    out = empty(x.shape, x.dtype) if out is None else out
    tensors = {"x": x, "out": out} if by is None else {"x": x, "by": by, "out": out}
    demand(x.dtype, **tensors)
    if out.shape != x.shape or (by is not None and by.shape != x.shape):
        raise ValueError(f"x, by and out must have one shape, not {[tuple(each.shape) for each in tensors.values()]}")
    _call("gate", x, x, by, out, c_long(x.numel()), c_float(linear), c_float(cubic))
    return out


def moments(logits_MV: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The maximum m of each row, Σ e, Σ e · d and Σ e · d² for d = z − m and e = exp(d), with 0 · −inf = 0.

    There may be gaps between rows.
    """
    demand_rows(logits_MV=logits_MV)
    top_M, sum_M, dot_M, square_M = (empty(logits_MV.shape[:1], torch.float32) for _ in range(4))
    _call_rows("moments", logits_MV, top_M, sum_M, dot_M, square_M)
    return top_M, sum_M, dot_M, square_M


def set_sums(logits_MV: Tensor, member_V: Tensor, sets: int) -> tuple[Tensor, Tensor]:
    """The maximum m of each row over each set of columns, and Σ exp(z − m) over the set, both M × sets.

    member_V: uint8; bit k of a number says whether its column is in set k. A set of impossible columns has −inf and 0.
    """
    demand_rows(logits_MV=logits_MV)
    if member_V.dtype != torch.uint8 or not member_V.is_contiguous() or member_V.shape != logits_MV.shape[1:]:
        raise ValueError(f"member_V must be contiguous, of uint8 and {logits_MV.shape[1]} numbers, not {described(member_V)}")
    if not member_V.is_cpu or not 1 <= sets <= SETS:
        raise ValueError(f"set_sums takes member_V on the CPU and 1 to {SETS} sets, not {sets} on {member_V.device}")
    (rows, columns), total = logits_MV.shape, logits_MV.numel()
    top_MK, sum_MK = empty((rows, sets), torch.float32), empty((rows, sets), torch.float32)
    sizes = c_long(logits_MV.stride(0)), c_long(rows), c_long(columns)
    kernel, results = function("set_sums"), (pointer(top_MK), pointer(sum_MK))
    kernel(pointer(logits_MV), *sizes, pointer(member_V), c_long(sets), *results, threads(total))
    return top_MK, sum_MK


def count_greater(logits_MV: Tensor, than_M: Tensor) -> Tensor:
    """The number of logits of each row that exceed the row's `than_M`, int64."""
    than_M = than_M.contiguous()
    demand_rows(logits_MV=logits_MV)
    demand(torch.float32, than_M=than_M)
    if than_M.shape != logits_MV.shape[:1]:
        raise ValueError(f"than_M must have a number for each of {len(logits_MV)} rows, not the shape {tuple(than_M.shape)}")
    count_M = empty(than_M.shape, torch.int64)
    _call_rows("count_greater", logits_MV, than_M, count_M)
    return count_M


def supports_few(x_MK: Tensor, weight_NK: Tensor) -> bool:
    """Whether `few_rows` takes these: so few rows that it is faster than PyTorch's product."""
    return x_MK.shape[0] <= MANY and weight_NK.shape[0] >= FEW and supports(x_MK, weight_NK)


def few_rows(x_MK: Tensor, weight_NK: Tensor, out_MN: Tensor) -> None:
    """out = x · weightᵀ in float32 for few rows, in the time that it takes to read the weight.

    x and weight: both float32, or both bfloat16. `out_MN` may have gaps between rows.
    """
    rows, columns, _ = _sizes(x_MK.dtype, x_MK, weight_NK, out_MN)
    if columns < FEW:
        raise ValueError(f"few_rows takes a weight of at least {FEW} rows, not {columns}")
    _few_rows(x_MK, weight_NK, out_MN, out_MN.stride(0), rows)


def linear(x: Tensor, weight_NK: Tensor, bias_N: Tensor | None = None) -> Tensor | None:
    """x · weightᵀ + bias by `few_rows` for x of shape … × K, rounded once; None if that does not take them.

    The arguments are checked only once.
    """
    (columns, terms), rows = weight_NK.shape, x.shape[:-1].numel()
    fits = rows <= MANY and columns >= FEW and x.shape[-1] == terms
    if not fits or not supports(x, weight_NK):
        return None
    out = empty((*x.shape[:-1], columns), torch.float32)
    _few_rows(x, weight_NK, out, columns, rows)
    return (out if bias_N is None else out.add_(bias_N)).to(x.dtype)


def _few_rows(x: Tensor, weight_NK: Tensor, out: Tensor, stride: int, rows: int) -> None:
    sizes = c_long(stride), c_long(rows), c_long(weight_NK.shape[0]), c_long(weight_NK.shape[1])
    function(f"few_{SUFFIX[x.dtype]}")(pointer(x), pointer(weight_NK), pointer(out), *sizes, threads(weight_NK.numel()))


def in_lanes(x_MK: Tensor, weight_NK: Tensor, out_MN: Tensor, block: int) -> None:
    """out = x · weightᵀ in float32 for few rows, in sums of `block` terms, each from first to last, that are added up in turn.

    `out_MN` may have gaps between rows.
    """
    rows, columns, terms = _sizes(torch.float32, x_MK, weight_NK, out_MN)
    if block < 1:
        raise ValueError(f"sums have at least one term, not {block}")
    scratch = empty((-(-rows // LANES), LANES, terms), torch.float32)
    sizes = (c_long(size) for size in (out_MN.stride(0), rows, columns, terms, block))
    function("lanes_f")(*map(pointer, (x_MK, weight_NK, out_MN, scratch)), *sizes, threads(weight_NK.numel()))


def product(hidden_MK: Tensor, weight_VK: Tensor, out_MV: Tensor) -> None:
    """out = hidden · weightᵀ of bfloat16 factors, summed and kept in float32. `out_MV` may have gaps between rows."""
    rows, columns, terms = _sizes(torch.bfloat16, hidden_MK, weight_VK, out_MV)
    if terms % 2:
        raise ValueError(f"product takes an even number of terms, not {terms}")
    sizes = c_long(out_MV.stride(0)), c_long(rows), c_long(columns), c_long(terms)
    if function("product_b")(*map(pointer, (hidden_MK, weight_VK, out_MV)), *sizes, threads(out_MV.numel())):
        raise MemoryError("there is no memory for a panel of the head's weights")


def matmul(x_MK: Tensor, weight_KN: Tensor, bias_N: Tensor | None, out_MN: Tensor) -> None:
    """out = x · weight + bias in float32; a row's bits depend on neither the other rows nor the processor.

    The weight, or its transpose, is contiguous. `out_MN` may have gaps between rows.
    """
    by_column = weight_KN.stride(0) == 1 and not weight_KN.is_contiguous()
    weight = weight_KN.T if by_column else weight_KN
    rows, columns, terms = _sizes(torch.float32, x_MK, weight, out_MN, by_column)
    if bias_N is not None:
        demand(torch.float32, bias_N=bias_N)
        if bias_N.shape != (columns,):
            raise ValueError(f"bias_N must have a number for each of {columns} columns, not the shape {tuple(bias_N.shape)}")
    sizes = (c_long(size) for size in (out_MN.stride(0), rows, columns, terms))
    several = threads(max(weight.numel(), out_MN.numel()))
    function("matmul_f")(*map(pointer, (x_MK, weight, bias_N, out_MN)), *sizes, c_int(by_column), several)


def _sizes(dtype: torch.dtype, x_MK: Tensor, weight: Tensor, out_MN: Tensor, by_column: bool = True) -> tuple[int, int, int]:
    """Rows, columns and terms of a product. weight: N × K if `by_column`, else K × N.

    Raises ValueError if the tensors do not match.
    """
    demand(dtype, x_MK=x_MK, weight=weight)
    demand_rows(out_MN=out_MN)
    (rows, columns), of_x, of_weight = out_MN.shape, x_MK.shape, weight.shape if by_column else weight.shape[::-1]
    if len(of_x) != 2 or of_x[0] != rows or of_weight != (columns, of_x[1]):
        shapes = [tuple(shape) for shape in (of_x, of_weight, out_MN.shape)]
        form = "N × K" if by_column else "K × N"
        raise ValueError(f"the shapes of x, weight and out must be M × K, {form} and M × N, not {shapes}")
    if rows > 1 and out_MN.stride(0) < columns:
        raise ValueError(f"the rows of out overlap: they are {out_MN.stride(0)} apart, and {columns} long")
    return rows, columns, of_x[1]


def _call(name: str, like: Tensor, *arguments: Any) -> None:
    converted = [pointer(a) if a is None or isinstance(a, Tensor) else a for a in arguments]
    function(f"{name}_{SUFFIX[like.dtype]}")(*converted, threads(like.numel()))


def _call_rows(name: str, logits_MV: Tensor, *others: Tensor) -> None:
    rows, columns = logits_MV.shape
    sizes = c_long(logits_MV.stride(0)), c_long(rows), c_long(columns)
    function(name)(pointer(logits_MV), *sizes, *map(pointer, others), threads(logits_MV.numel()))
