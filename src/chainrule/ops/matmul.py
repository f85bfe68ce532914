"""Row-invariant matrix products: the bits of a row do not depend on the other rows.

Our float32 product (`native.matmul`), used where it is the fastest, sums the K terms of a dot product in one order. Other
kernels sum them in an order that may depend on the number of rows and of threads. So their products are computed in blocks of
numbers of rows that give the same bits, those of one thread; the remaining rows are padded to the cheapest of these numbers.
They are found by trial on this machine, once for each shape, with sums that cancel, so that only rounding is left.

Shapes: N rows, K terms, M columns of a product; S rows of the sample.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from chainrule.ops import native
from chainrule.ops.elementwise import evenly
from chainrule.ops.library import build
from chainrule.ops.sealed import FACTORIES
from chainrule.ops.trials import known
from chainrule.ops.workers import available, in_one_thread

ROWS = 768  # weights are read once for this many rows, whose activations still fit in the cache
ON_GPU = 1 << 24  # numbers of an activation on a GPU, in chunks of at least 1,024 rows: a chunk launches about 600 kernels
ROW_COUNTS = (16, 32, 48, 64, 96, 128, 192, 256, 384, 512)  # smaller numbers of rows that are tried
IN_LANES = 32  # rows up to which the compiled kernel with a row in each lane is faster
SUMS = (384, 0.5, 1.0, 192, 256, 320, 512)  # terms of the sums, or shares of all terms, in whose order kernels may compute
SMALL = 128  # rows that often come alone, and that should not be padded to a full block
CALL = 32  # the cost of one more product, in rows
WIDENED = 1 << 22  # numbers of a weight that are widened at a time (16 MiB)
SAMPLE, COLUMNS = 16, 64  # distinct rows of x and columns of w in a trial; the others are copies of them


def usual_rows(model: Any) -> int:
    """The number of contexts that a `Model` computes at a time by default."""
    return ROWS if model.device.type == "cpu" else min(32 * 1024, max(1024, ON_GPU // model.width // 1024 * 1024))


def pads_rows(model: Any) -> bool:
    """Whether products of a `Model` are padded to some numbers of rows: all but ours."""
    return model.dtype != torch.float32 or not build.status().matmul


class SameBits(TorchFunctionMode):
    """Within this mode, the bits of a row do not depend on the other rows, their number or torch's default dtype."""

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        return SAME.get(func, func)(*args, **(kwargs or {}))


def _linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return rowwise(input, weight.T, bias)


def _addmm(input: Tensor, mat1: Tensor, mat2: Tensor, **others: Any) -> Tensor:
    """The call of GPT-2's Conv1D. Calls with a matrix as bias, or with scales, are not those of a layer and stay unchanged."""
    return torch.addmm(input, mat1, mat2, **others) if others or input.ndim > 1 else rowwise(mat1, mat2, input)


_POINTWISE = (nn.functional.silu, nn.functional.softplus, nn.functional.gelu, torch.sigmoid, Tensor.sigmoid, torch.rsqrt)
CHANGED: dict[Any, Callable] = {nn.functional.linear: _linear, torch.addmm: _addmm} | {f: evenly(f) for f in _POINTWISE}
SAME = FACTORIES | CHANGED


@dataclass(frozen=True)
class Kind:
    """Everything but the number of rows that may decide how a product x · w + b is computed."""

    terms: int
    columns: int
    dtype: torch.dtype
    bias: bool
    transposed: bool  # whether the weight is stored by columns
    rows: int  # of a full block
    threads: int

    @classmethod
    def of(cls, weight_KM: Tensor, bias: bool, rows: int = ROWS) -> Kind:
        (terms, columns), transposed = weight_KM.shape, weight_KM.stride(0) == 1
        return cls(terms, columns, weight_KM.dtype, bias, transposed, rows, torch.get_num_threads())


def rowwise(x: Tensor, weight_KM: Tensor, bias_M: Tensor | None = None) -> Tensor:
    """x · weight + bias for x of shape … × K. The bits of a row depend on that row alone."""
    out = x.new_empty(*x.shape[:-1], weight_KM.shape[1])
    write(out.view(-1, out.shape[-1]), x.reshape(-1, x.shape[-1]), weight_KM, bias_M)
    return out


def write(out_NM: Tensor, x_NK: Tensor, weight_KM: Tensor, bias_M: Tensor | None = None, rows: int = ROWS) -> None:
    """The same in blocks of at most `rows` rows, written to `out_NM`, whose rows may be strided."""
    if x_NK.device.type != "cpu" or native.supports_matmul(x_NK, weight_KM, bias_M):
        plain_product(x_NK, weight_KM, bias_M, out_NM)
        return
    if len(x_NK) <= IN_LANES and _written_in_lanes(out_NM, x_NK, weight_KM, bias_M, rows):
        return
    kind = Kind.of(weight_KM, bias_M is not None, rows)
    if not most_rows(kind):
        in_one_thread(partial(write, out_NM, x_NK, weight_KM, bias_M, rows))
        return
    first = 0
    for block in blocks(len(x_NK), kind):
        part_NK, part_NM = x_NK[first : first + block], out_NM[first : first + block]
        if len(part_NK) == block:
            plain_product(part_NK, weight_KM, bias_M, part_NM)
        else:
            padded_NK = nn.functional.pad(part_NK, (0, 0, 0, block - len(part_NK)))
            part_NM.copy_(plain_product(padded_NK, weight_KM, bias_M)[: len(part_NK)])
        first += block


def _written_in_lanes(out_NM: Tensor, x_NK: Tensor, weight_KM: Tensor, bias_M: Tensor | None, rows: int) -> bool:
    """Whether the compiled kernel for few rows has written the bits of a block of `rows` rows: on the CPU, in float32."""
    weight_MK = weight_KM.T
    if bias_M is not None or x_NK.dtype != torch.float32 or not native.supports(x_NK, weight_MK) or out_NM.stride(-1) != 1:
        return False
    if terms := _terms_of_sums(Kind.of(weight_KM, bias=False, rows=rows)):
        native.in_lanes(x_NK, weight_MK, out_NM, terms)
    return terms > 0


@cache
def _terms_of_sums(kind: Kind) -> int:
    """The number of terms after which a full block adds up its sums, found by trial; 0 if its order is another."""
    shares = (-(-int(size if size > 1 else size * kind.terms) // 16) * 16 for size in SUMS)
    return next(
        (terms for terms in dict.fromkeys(shares) if known(f"sums of {terms} in {kind}", partial(_sums, terms, kind))), 0
    )


def _sums(terms: int, kind: Kind) -> bool:
    x_SK, weight_KM, _ = _sample(kind)
    few_SM = torch.empty(SAMPLE, kind.columns, dtype=torch.float32, device="cpu")
    native.in_lanes(x_SK, weight_KM.T, few_SM, terms)
    return _equal(few_SM, _reference(kind))


def blocks(rows: int, kind: Kind) -> list[int]:
    """Numbers of rows to compute one after another, so that `rows` rows get the bits of the reference."""
    whole, rest = divmod(rows, most := most_rows(kind) or kind.rows)
    return [most] * whole + _cheapest(rest, kind)


@cache
def most_rows(kind: Kind) -> int:
    """The most rows, up to `kind.rows`, with the bits of the reference; 0 if none have them with this number of threads."""
    counts = [kind.rows, *(count for count in reversed(ROW_COUNTS) if count < kind.rows)]
    most = next((count for count in counts if _agrees(count, kind)), 0)
    return most or (kind.rows if kind.threads == 1 else 0)


@cache
def _cheapest(rows: int, kind: Kind) -> list[int]:
    """The cheapest blocks for fewer rows than the largest block has."""
    if not rows:
        return []
    most = most_rows(kind) or kind.rows
    counts = [count for count in ROW_COUNTS if count < most]
    fitting = next((count for count in counts if count >= rows), None)
    if fitting and fitting <= rows + CALL and _agrees(fitting, kind):
        return [fitting]  # nothing can be cheaper
    agreeing = [most, *(count for count in counts if _agrees(count, kind))]
    plans = [[count, *_cheapest(rows - min(count, rows), kind)] for count in agreeing]
    return min(plans, key=lambda plan: sum(plan) + CALL * len(plan))


@cache
def _agrees(rows: int, kind: Kind) -> bool:
    return known(f"{rows} rows of {kind}", partial(_same, rows, kind))


def _same(rows: int, kind: Kind) -> bool:
    return _equal(_trial(rows, kind), _reference(kind))


def _equal(a: Tensor | None, b: Tensor | None) -> bool:
    return a is not None and b is not None and torch.equal(a, b)


@cache
def _reference(kind: Kind) -> Tensor | None:
    """The trial whose bits all blocks must have: of a full block in one thread, or of fewer rows, if a full block has others
    than those, and several numbers of rows agree."""
    if kind.threads > 1 and available():
        return in_one_thread(partial(_reference, replace(kind, threads=1)))
    few = _trial(min(SMALL, kind.rows), kind)
    for count in (kind.rows, 512, 256):
        if few is not None and SMALL < count <= kind.rows and _equal(_trial(count, kind), few):
            return few
    return _trial(kind.rows, kind)


@cache
def _trial(rows: int, kind: Kind) -> Tensor | None:
    """The product of the sample in `rows` rows; None if copies of a row differ."""
    x_SK, weight_KM, bias_M = _sample(kind)
    copies = -(-rows // SAMPLE)
    y_NM = plain_product(x_SK.repeat(copies, 1)[:rows], weight_KM, bias_M)
    y_SM = y_NM[:SAMPLE].clone()
    return y_SM if torch.equal(y_NM, y_SM.repeat(copies, 1)[:rows]) else None


def plain_product(x_NK: Tensor, weight_KM: Tensor, bias_M: Tensor | None, out_NM: Tensor | None = None) -> Tensor:
    """x · weight + bias, rounded once. The bits of a row may depend on the number of rows."""
    if computed_in_float32(x_NK):
        return _in_float32(x_NK, weight_KM, bias_M, out_NM)
    if native.supports_matmul(x_NK, weight_KM, bias_M):
        out_NM = x_NK.new_empty(len(x_NK), weight_KM.shape[1]) if out_NM is None else out_NM
        native.matmul(x_NK.contiguous(), weight_KM, bias_M, out_NM)
        return out_NM
    if bias_M is None:
        return torch.mm(x_NK, weight_KM, out=out_NM)
    return torch.addmm(bias_M, x_NK, weight_KM, out=out_NM)


def computed_in_float32(x: Tensor) -> bool:
    """Whether x is on the CPU and of a narrow type for which oneDNN has no product here: PyTorch's own is 8 times as slow."""
    return x.device.type == "cpu" and x.dtype in _OF_ONEDNN and not _has_product(x.dtype)


_OF_ONEDNN = {torch.bfloat16: "_is_mkldnn_bf16_supported", torch.float16: "_is_mkldnn_fp16_supported"}


@cache
def _has_product(dtype: torch.dtype) -> bool:
    return torch.backends.mkldnn.is_available() and bool(getattr(torch.ops.mkldnn, _OF_ONEDNN[dtype])())


def _in_float32(x_NK: Tensor, weight_KM: Tensor, bias_M: Tensor | None, out_NM: Tensor | None) -> Tensor:
    """The product in float32, some columns of the weight at a time."""
    (terms, columns), wide_NK = weight_KM.shape, x_NK.float()
    out_NM = x_NK.new_empty(len(x_NK), columns) if out_NM is None else out_NM
    for first in range(0, columns, step := max(64, WIDENED // max(1, terms) // 64 * 64)):
        tile = slice(first, first + step)
        out_NM[:, tile] = plain_product(wide_NK, weight_KM[:, tile].float(), None if bias_M is None else bias_M[tile].float())
    return out_NM


def _sample(kind: Kind) -> tuple[Tensor, Tensor, Tensor | None]:
    """Sums whose halves cancel, with terms at random positions, so that any other order of summation leaves another error."""
    draw = torch.Generator().manual_seed(0)
    normal = partial(torch.randn, generator=draw, dtype=torch.float32, device="cpu")
    index_K, half = torch.randperm(kind.terms, generator=draw, dtype=torch.int64, device="cpu"), kind.terms // 2
    x_SK, weight_MK = normal(SAMPLE, kind.terms), normal(min(kind.columns, COLUMNS), kind.terms)
    x_SK[:, index_K[half : 2 * half]] = x_SK[:, index_K[:half]]
    weight_MK[:, index_K[half : 2 * half]] = -weight_MK[:, index_K[:half]]
    weight_MK = weight_MK.repeat(-(-kind.columns // COLUMNS), 1)[: kind.columns]
    x_SK, weight_MK = x_SK.to(kind.dtype), weight_MK.to(kind.dtype)
    weight_KM = weight_MK.T if kind.transposed else weight_MK.T.contiguous()
    bias_M = torch.zeros(kind.columns, dtype=kind.dtype, device="cpu") if kind.bias else None
    return x_SK, weight_KM, bias_M
