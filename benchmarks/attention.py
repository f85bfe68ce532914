"""The compiled attention kernel alone, on one thread: causal attention over one text, in operations a second.

    .venv/bin/python benchmarks/attention.py                     # all lengths, widths and types: about 3 minutes
    .venv/bin/python benchmarks/attention.py --before FOLDER     # beside the kernels of another checkout's ops/native/

Operations are 2 · D for a score and 2 · D for a weighted value, of the keys that a row sees. Beside the kernel: PyTorch's
scaled_dot_product_attention, a loop of multiply-adds in C and a large product of PyTorch (the processor's own rates). All
alternate, by processor time. Errors are differences from float64, relative to the root mean square of the results.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import time
from collections.abc import Callable
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from machine import describe
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from chainrule.forest.tiles import T
from chainrule.ops import native
from chainrule.ops.library import build
from chainrule.ops.library.compiler import compiled, loaded

HERE = Path(__file__).resolve().parent
SHAPES = {64: (9, 3), 128: (32, 8)}  # heads and groups for each width of a head
SECONDS = 0.25  # of one measurement, at least
MULTIPLY_ADD = """
#ifdef __AVX512F__
enum { LANES = 16 };
#else
enum { LANES = 8 };
#endif
typedef float floats __attribute__((vector_size(4 * LANES)));
int lanes(void) { return LANES; }
float rate(long count, float by) {
    floats sums[12] = {};
    for (long i = 0; i < count; i++)
#pragma GCC unroll 12
        for (int j = 0; j < 12; j++) { sums[j] = sums[j] * by + by; __asm__("" : "+v"(sums[j])); }
    floats all = {};
#pragma GCC unroll 12
    for (int j = 0; j < 12; j++) all += sums[j];
    return all[0];
}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", nargs="+", type=int, default=[16, 512, 2000, 8000])
    parser.add_argument("--widths", nargs="+", type=int, choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--before", type=Path, help="folder of the C files of other kernels")
    parser.add_argument("--out", type=Path, default=HERE / "results" / f"attention-{date.today().isoformat()}.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    before = library(arguments.before) if arguments.before else None
    result: dict[str, Any] = {"date": date.today().isoformat(), "machine": describe(), "kernels": native.status().reason}
    result["processor"] = processor()
    print(result["processor"], flush=True)
    result["rows"] = []
    for dtype in arguments.dtypes:
        for width in arguments.widths:
            for tokens in arguments.tokens:
                row = {"dtype": dtype, "width": width, "tokens": tokens}
                row |= measure(getattr(torch, dtype), width, tokens, arguments.rounds, before)
                result["rows"].append(row)
                print(row, flush=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def library(folder: Path) -> build.Kernels:
    """The kernels in this folder, compiled as ours."""
    sources = {path.name: path.read_text(encoding="utf-8") for path in (*folder.glob("*.c"), *folder.glob("*.h"))}
    own = loaded(compiled(["cc"], build.FLAGS, sources, build.SECONDS))
    return build.Kernels(True, str(folder), own, own.lanes())


@contextmanager
def kernels(other: build.Kernels | None):
    """Within this context, these kernels run."""
    before = build.status
    if other is not None:
        build.status = lambda: other
    try:
        yield
    finally:
        build.status = before


def processor() -> dict[str, float]:
    """10⁹ operations a second of one thread: multiply-adds in registers, and products of PyTorch."""
    own = loaded(compiled(["cc"], ("-O3", "-march=native", "-fPIC", "-shared"), {"rate.c": MULTIPLY_ADD}, build.SECONDS))
    own.rate.restype, own.rate.argtypes = ctypes.c_float, (ctypes.c_long, ctypes.c_float)
    rates = {"multiply_add": giga(2 * own.lanes() * 12 * 1e6, lambda: own.rate(1_000_000, 0.5))}
    for dtype in (torch.float32, torch.bfloat16):
        a, b = (torch.randn(2048, 2048, dtype=dtype) for _ in range(2))
        rates[f"mm {dtype}"] = giga(2 * 2048**3, lambda a=a, b=b: a @ b)
    return rates


def giga(operations: float, call: Callable[[], Any]) -> float:
    """10⁹ operations a second, by processor time."""
    call()
    calls, start = 0, time.process_time()
    while time.process_time() - start < SECONDS:
        call()
        calls += 1
    return round(calls * operations / (time.process_time() - start) / 1e9, 2)


def measure(dtype: torch.dtype, width: int, tokens: int, rounds: int, before: build.Kernels | None) -> dict[str, Any]:
    heads, groups = SHAPES[width]
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(tokens, n, width, generator=generator).to(dtype) for n in (heads, groups, groups))
    own: Callable[[], Tensor] = lambda: attend(q.transpose(0, 1), k, v)  # noqa: E731
    calls: dict[str, tuple[build.Kernels | None, Callable[[], Tensor]]] = {"kernel": (None, own)}
    if before is not None:
        calls["before"] = (before, own)
    many = tuple(x.transpose(0, 1)[None] for x in (q, k, v))
    calls["sdpa"] = (None, lambda: scaled_dot_product_attention(*many, is_causal=True, enable_gqa=True)[0].transpose(0, 1))
    operations = 4.0 * width * heads * tokens * (tokens + 1) / 2
    exact = by_path(q, k, v)
    rates: dict[str, list[float]] = {name: [] for name in calls}
    result: dict[str, Any] = {}
    for _ in range(rounds):
        for name, (library, call) in calls.items():
            with kernels(library):
                rates[name].append(giga(operations, call))
    for name, (library, call) in calls.items():
        with kernels(library):
            error = (call().double()[: len(exact)] - exact) / exact.pow(2).mean().sqrt()
        result[name] = {"rate": median(rates[name]), "rms": float(error.pow(2).mean().sqrt())}
        result[name] |= {"largest": float(error.abs().max())}
    return result


def attend(query_HRD: Tensor, key_KGD: Tensor, value_KGD: Tensor) -> Tensor:
    """The kernel on one text from depth 0."""
    (heads, rows, width), groups = query_HRD.shape, key_KGD.shape[1]
    first_B = np.arange(0, rows, T)
    far_B, zero_B = first_B, np.zeros_like(first_B)
    table_B6 = np.stack([first_B, np.minimum(T, rows - first_B), first_B, zero_B, far_B, first_B], 1)
    lanes, share = native.queries(), heads // groups
    tasks = [[b, lane] for b, rows_b in enumerate(table_B6[:, 1]) for lane in range(0, rows_b * share, lanes)]
    slots = np.arange(-(-rows // T) * T)
    return native.attention(
        query_HRD, key_KGD, value_KGD, table_B6, np.array(tasks), slots, width**-0.5, 0, 0.0
    )[0]  # fmt: skip


def by_path(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The same in float64, of at most 2,000 rows."""
    q, k, v = (x[:2000].double().transpose(0, 1)[None] for x in (q, k, v))
    return scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)[0].transpose(0, 1)


if __name__ == "__main__":
    main()
