"""A script that checks every compiled kernel on random shapes against float64, with any instruction set or compiler.

    python tests/native_shapes.py [--count 30] [--seed 0] [--guard] [--threads 1]

--guard places each array directly before, and then directly after, an inaccessible page. CHAINRULE_NATIVE and CC choose the
kernels. Types that `supports` leaves to PyTorch are run too.
"""

from __future__ import annotations

import argparse
import ctypes
import mmap
import random
from collections.abc import Callable
from ctypes import c_int, c_long, c_size_t, c_void_p
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from chainrule.ops import native
from chainrule.ops.library import build
from chainrule.ops.native import arguments, attention_calls, calls

ROUNDING = {torch.float32: 2e-6, torch.bfloat16: 2.0**-8}
Array = TypeVar("Array", Tensor, np.ndarray)
Placement = Callable[[Array], Array]

_C = ctypes.CDLL(None, use_errno=True)
_C.mmap.restype, _C.mmap.argtypes = c_void_p, [c_void_p, c_size_t, c_int, c_int, c_int, c_long]
_C.mprotect.argtypes, _C.munmap.argtypes = [c_void_p, c_size_t, c_int], [c_void_p, c_size_t]


class Guarded:
    """Copies of arrays that end (or start) exactly at an inaccessible page."""

    def __init__(self, at_end: bool) -> None:
        self.at_end, self.mapped = at_end, []

    def __call__(self, array: Array) -> Array:
        if isinstance(array, Tensor):
            flat = torch.empty(array.numel(), dtype=array.dtype).copy_(array.reshape(-1))
            size, source = flat.numel() * flat.element_size(), flat.data_ptr()
        else:
            flat = np.ascontiguousarray(array)
            size, source = flat.nbytes, flat.ctypes.data
        address = self.allocate(size)
        ctypes.memmove(address, source, size)
        memory = (ctypes.c_char * size).from_address(address)
        if isinstance(array, Tensor):
            return torch.frombuffer(memory, dtype=array.dtype, count=array.numel()).view(array.shape)
        return np.frombuffer(memory, array.dtype, array.size).reshape(array.shape)

    def allocate(self, size: int) -> int:
        page = mmap.PAGESIZE
        inside = max(1, -(-size // page)) * page
        start = _C.mmap(None, inside + 2 * page, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
        for guard in (start, start + page + inside):
            if _C.mprotect(guard, page, 0):
                raise OSError("cannot guard a page")
        self.mapped.append((start, inside + 2 * page))
        return start + page + (inside - size if self.at_end else 0)

    def free(self) -> None:
        for start, size in self.mapped:
            _C.munmap(start, size)
        self.mapped.clear()


def compare(name: str, found: Tensor, want: Tensor, rounding: float | None = None) -> None:
    rounding = ROUNDING[found.dtype] if rounding is None else rounding
    error = (found.double() - want).abs()
    if not (error <= rounding * want.abs() + 3e-6 * want.abs().max() + 1e-37).all():
        raise AssertionError(f"{name}: off by {float(error.max())}")


def compare_product(name: str, found: Tensor, x: Tensor, weight: Tensor) -> None:
    """Errors relative to the sum of the terms' sizes: terms may cancel."""
    error = (found.double() - x.double() @ weight.double().T).abs()
    if not (error <= 4e-7 * (x.double().abs() @ weight.double().abs().T) + 1e-37).all():
        raise AssertionError(f"{name}: off by {float(error.max())}")


class Shapes:
    """A random call of each kernel."""

    def __init__(self, seed: int, place: Placement) -> None:
        self.random, self.place = random.Random(seed), place
        self.generator = torch.Generator().manual_seed(seed)

    def draw(self, *shape: int, dtype: torch.dtype = torch.float32, scale: float = 1.0) -> Tensor:
        return self.place((torch.randn(*shape, generator=self.generator) * scale).to(dtype))

    def size(self, *usual: int) -> int:
        return self.random.choice([*usual, self.random.randint(1, 70)])

    def dtype(self) -> torch.dtype:
        return self.random.choice([torch.float32, torch.bfloat16])

    def rms_norm(self) -> None:
        rows, width, dtype = self.size(1, 40), self.size(1, 7, 16, 576), self.dtype()
        x, weight = self.draw(rows, width, dtype=dtype), self.draw(width, dtype=dtype)
        wide = x.double()
        want = wide / (wide.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt() * (weight.double() + 1)
        compare("rms_norm", native.rms_norm(x, weight, 1e-5, 1.0), want)

    def gate(self) -> None:
        count, dtype, gated = self.size(1, 15, 4095, 4096, 4097, 20_000), self.dtype(), self.random.random() < 0.5
        x, by = self.draw(count, dtype=dtype, scale=4), self.draw(count, dtype=dtype) if gated else None
        wide = x.double()
        want = wide * torch.sigmoid(1.5957691 * wide + 0.0713548 * wide**3) * (1 if by is None else by.double())
        compare("gate", native.gate(x, by, 1.5957691, 0.0713548, x if self.random.random() < 0.5 else None), want)

    def logits(self) -> Tensor:
        rows, columns, gap = self.size(1), self.size(1, 31, 64, 65, 4096), self.random.choice([0, 0, 3])
        return self.draw(rows, columns + gap, scale=5)[:, gap:]

    def moments(self) -> None:
        z = self.logits()
        top, total, *powers = native.moments(z)
        below = z.double() - z.double().amax(-1, keepdim=True)
        weight = below.exp()
        assert torch.equal(top, z.amax(-1))
        compare("moments", total, weight.sum(-1))
        for power, found in enumerate(powers, 1):
            want = weight * below**power
            assert ((found - want.sum(-1)).abs() <= 6e-6 * want.abs().sum(-1) + 1e-30).all(), f"moments: power {power}"

    def set_sums(self) -> None:
        z = self.logits()
        member_V = self.place(torch.tensor([self.random.randrange(256) for _ in range(z.shape[1])], dtype=torch.uint8))
        top_MK, sum_MK = native.set_sums(z, member_V, 8)
        for k in range(8):
            of_set = z.double().masked_fill((member_V >> k & 1) == 0, -torch.inf)
            assert torch.equal(top_MK[:, k].double(), of_set.amax(-1)), "set_sums: maximum"
            compare("set_sums", sum_MK[:, k], (of_set - of_set.amax(-1).clamp_min(-1e30)[:, None]).exp().sum(-1))

    def count_greater(self) -> None:
        z = self.logits()
        than = self.place(z[:, self.random.randrange(z.shape[1])].clone())
        assert native.count_greater(z, than).tolist() == (z > than[:, None]).sum(-1).tolist(), "count_greater"

    def few_rows(self) -> None:
        rows, columns, terms, gap = (
            self.random.randint(1, 9),
            self.size(4, 5, 300) + 3,
            self.size(1, 576),
            self.random.choice([0, 5]),
        )
        dtype = self.random.choice([torch.float32, torch.bfloat16])
        x, weight = self.draw(rows, terms, dtype=dtype), self.draw(columns, terms, dtype=dtype)
        out = self.draw(rows, columns + gap)[:, gap:]
        native.few_rows(x, weight, out)
        compare_product("few_rows", out, x, weight)

    def in_lanes(self) -> None:
        rows, columns, terms, gap = (
            self.size(1, 15, 16, 17),
            self.size(1, 11, 12, 13),
            self.size(1, 576),
            self.random.choice([0, 5]),
        )
        x, weight = self.draw(rows, terms), self.draw(columns, terms)
        out = self.draw(rows, columns + gap)[:, gap:]
        native.in_lanes(x, weight, out, self.size(1, 288))
        compare_product("in_lanes", out, x, weight)

    def matmul(self) -> None:
        """Of either layout of the weight; the bits of a row do not depend on the others, and are those of `in_lanes`."""
        rows, columns, terms = self.size(1, 6, 12, 13), self.size(1, 16, 32, 33, 600), self.size(1, 255, 256, 257, 576)
        x, weight, bias = self.draw(rows, terms), self.draw(columns, terms), self.draw(columns)
        by_term = self.place(weight.T.contiguous())
        out, same = (self.draw(rows, columns + gap)[:, gap:] for gap in self.random.choices([0, 5], k=2))
        native.matmul(x, weight.T, None, out)
        compare_product("matmul", out, x, weight)
        native.in_lanes(x, weight, same, 256)
        assert torch.equal(out, same), "matmul: the order of the sums"
        native.matmul(x, by_term, None, same)
        assert torch.equal(out, same), "matmul: by term"
        first = self.random.randrange(rows)
        native.matmul(self.place(x[first:].contiguous()), weight.T, None, same[first:])
        assert torch.equal(out[first:], same[first:]), "matmul: other rows"
        native.matmul(x, weight.T, bias, out)
        ones = torch.ones(rows, 1)
        compare_product("matmul with a bias", out, torch.cat([x, ones], 1), torch.cat([weight, bias[:, None]], 1))

    def product(self) -> None:
        if not hasattr(build.status().library, "product_b"):
            return
        rows, columns, terms = self.size(1, 5, 6, 31, 32, 33), self.size(1, 63, 64, 65), 2 * self.size(1, 16, 32, 300)
        x, weight = self.draw(rows, terms, dtype=torch.bfloat16), self.draw(columns, terms, dtype=torch.bfloat16)
        out = self.draw(rows, columns)
        native.product(x, weight, out)
        compare_product("product", out, x, weight)

    def attention(self) -> None:
        """Tiles of random depths, whose far and near keys fill the table."""
        pick, dtype = self.random, self.dtype()
        groups, share, keys = pick.randint(1, 3), pick.choice([1, 2, 3, 9]), pick.randint(1, 200)
        width, value_width = pick.choice([1, 5, 16, 64, 256]), pick.choice([8, 24, 64, 256])
        window, softcap = pick.choice([0, 1, 7, 64, 100]), pick.choice([0.0, 2.0])
        table, slots, paths, first = [], [], [], 0
        for _ in range(pick.randint(1, 4)):
            rows, depth = pick.randint(1, 30), pick.choice([0, 5, 63, 64, 150])
            fars = pick.randint(0, depth)
            path = [pick.randrange(keys) for _ in range(depth + rows)]
            far = len(slots)
            table.append([first, rows, depth, far, fars, far + fars])
            slots += path
            paths += [path[: depth + row + 1] for row in range(rows)]
            first += rows
        tasks = [[b, lane] for b, tile in enumerate(table) for lane in range(0, tile[1] * share, native.queries())]
        query = self.draw(groups * share, first, width, dtype=dtype)
        key, value = self.draw(keys, groups, width, dtype=dtype), self.draw(keys, groups, value_width, dtype=dtype)
        tables = [self.place(np.array(numbers, np.int64)) for numbers in (table, tasks, slots)]
        out, lse = native.attention(query, key, value, *tables, width**-0.5, window, softcap)
        for row, path in enumerate(paths):
            seen = path[-window:] if window else path
            k, v = (x[seen].double().repeat_interleave(share, 1) for x in (key, value))
            score = torch.einsum("hd,khd->hk", query[:, row].double(), k) * width**-0.5
            score = softcap * torch.tanh(score / softcap) if softcap else score
            compare("attention", out[row], torch.einsum("hk,khd->hd", score.softmax(-1), v))
            terms = torch.einsum("hd,khd->hk", query[:, row].double().abs(), k.abs()) * width**-0.5
            off = (lse[row].double() - score.logsumexp(-1)).abs()
            assert (off <= 1e-6 + 1e-6 * terms.amax(-1)).all(), f"attention's log-sum-exp: off by {float(off.max())}"


KERNELS = (
    *(Shapes.rms_norm, Shapes.gate, Shapes.moments, Shapes.set_sums, Shapes.count_greater),
    *(Shapes.few_rows, Shapes.in_lanes, Shapes.matmul, Shapes.product, Shapes.attention),
)


def run(count: int, seed: int, place: Placement) -> None:
    for i in range(count):
        shapes = Shapes(seed + i, place)
        for kernel in KERNELS:
            kernel(shapes)
        if isinstance(place, Guarded):
            place.free()


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--count", type=int, default=30)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--guard", action="store_true")
    parsed = options.parse_args()
    torch.set_num_threads(parsed.threads)
    arguments.SMALL = 0  # several threads for small shapes too
    kernels = build.status()
    if not kernels:
        raise SystemExit(f"no compiled kernels: {kernels.reason}")
    if parsed.guard:
        empty = arguments.empty
        for place in (Guarded(at_end=True), Guarded(at_end=False)):
            calls.empty = attention_calls.empty = lambda *how, place=place: place(empty(*how))
            run(parsed.count, parsed.seed, place)
    else:
        run(parsed.count, parsed.seed, lambda array: array)
    print(f"{kernels.lanes} lanes, {parsed.count} shapes of each kernel: right")


if __name__ == "__main__":
    main()
