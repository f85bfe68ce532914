"""Alternatives tried for speed, compared with the code in use: milliseconds for 768 rows of the small model's shapes.

.venv/bin/python benchmarks/trials.py

products   all linear layers in blocks of B rows: plain, prepacked by MKL, prepacked by oneDNN; float32 and bfloat16
head       logits from bfloat16: float32 products of widened weights, and products of narrowed factors
blocks     attention after 1,280 tokens with blocks of 64, 128, 256 and 384 depths, heads of a group folded or not
compiled   the pointwise parts by torch.compile, and the time of compiling (needs a C++ compiler)
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from statistics import median

import torch

LAYERS, ROWS, WIDTH, INNER, VOCABULARY, HEADS, GROUPS, HEAD = 30, 768, 576, 1536, 49_152, 9, 3, 64
LINEAR = ((WIDTH, WIDTH), (WIDTH, 192), (WIDTH, 192), (WIDTH, WIDTH), (WIDTH, INNER), (WIDTH, INNER), (INNER, WIDTH))
DTYPES = (torch.float32, torch.bfloat16)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trials", nargs="*", default=["products", "head", "blocks", "compiled"])
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with torch.inference_mode():
        for name in arguments.trials:
            globals()[name]()


def milliseconds(work: Callable[[], object], rounds: int = 5) -> float:
    work()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return median(times) * 1e3


def products() -> None:
    for dtype in DTYPES:
        for block in (64, 128, 256, 384, 768):
            kinds = {"plain": plain, "oneDNN": onednn} | ({"MKL": mkl} if dtype == torch.float32 else {})
            times = {name: milliseconds(layers(kind, dtype, block), 3) for name, kind in kinds.items()}
            print(f"products, {dtype}, {block} rows at a time:", *(f"{name} {ms:.0f} ms" for name, ms in times.items()))


def layers(kind: Callable, dtype: torch.dtype, block: int) -> Callable[[], None]:
    products = [kind((torch.randn(out, into) * 0.05).to(dtype), block) for _ in range(LAYERS) for into, out in LINEAR]
    x = {width: torch.randn(ROWS, width).to(dtype) for width in (WIDTH, INNER)}
    y = {width: torch.empty(ROWS, width, dtype=dtype) for width in (192, WIDTH, INNER)}

    def all_layers() -> None:
        for (into, out), product in zip(LINEAR * LAYERS, products, strict=True):
            for first in range(0, ROWS, block):
                y[out][first : first + block] = product(x[into][first : first + block])

    return all_layers


def plain(weight: torch.Tensor, block: int) -> Callable:
    return lambda x: torch.mm(x, weight.T)


def mkl(weight: torch.Tensor, block: int) -> Callable:
    packed = torch.ops.mkl._mkl_reorder_linear_weight(weight, block)
    return lambda x: torch.ops.mkl._mkl_linear(x, packed, weight, None, block)


def onednn(weight: torch.Tensor, block: int) -> Callable:
    packed = torch.ops.mkldnn._reorder_linear_weight(weight, block)
    return lambda x: torch.ops.mkldnn._linear_pointwise(x, packed, None, "none", [], "")


def head() -> None:
    weight, x = (torch.randn(VOCABULARY, WIDTH) * 0.05).bfloat16(), torch.randn(ROWS, WIDTH).bfloat16().float()

    def tiles() -> None:
        for first in range(0, VOCABULARY, 4096):
            torch.mm(x, weight[first : first + 4096].float().T)

    wide, matmul = milliseconds(tiles), torch.backends.mkldnn.matmul
    matmul.fp32_precision = "bf16"  # for the whole process, so not suitable for a library
    print(f"head: float32 products {wide:.0f} ms, narrowed {milliseconds(tiles):.0f} ms")
    matmul.fp32_precision = "none"


def blocks() -> None:
    for dtype in DTYPES:
        for size in (64, 128, 256, 384):
            for folded in (False, True):
                took = milliseconds(near_and_far(dtype, size, folded))
                print(f"blocks of {size}, {dtype}, folded {folded}: {took:.1f} ms a layer")


def near_and_far(dtype: torch.dtype, size: int, folded: bool, before: int = 1280) -> Callable[[], None]:
    attend = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    query = torch.randn(1, HEADS, ROWS, HEAD).to(dtype)
    key, value = (torch.randn(1, before + ROWS, GROUPS, HEAD).to(dtype).transpose(1, 2) for _ in range(2))
    hidden = torch.ones(size, size, dtype=torch.bool).triu(1)
    mask = torch.zeros(size, size, dtype=dtype).masked_fill_(hidden, -torch.inf)[None, None]

    def both() -> None:
        for first in range(0, ROWS, size):
            some, far = query[:, :, first : first + size], before + first
            attend(some, key[:, :, far : far + size], value[:, :, far : far + size], attn_mask=mask)
            some = some.reshape(1, GROUPS, -1, HEAD) if folded else some
            attend(some, key[:, :, :far], value[:, :, :far])

    return both


def compiled() -> None:
    from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

    for dtype in DTYPES:
        wide, x = torch.randn(1, ROWS, INNER).to(dtype), torch.randn(1, ROWS, WIDTH).to(dtype)
        turned = [torch.randn(1, ROWS, heads, HEAD).to(dtype).transpose(1, 2) for heads in (HEADS, GROUPS)]
        angles = [torch.randn(1, ROWS, HEAD).to(dtype) for _ in range(2)]
        parts = {
            "norm": (norm, (x, torch.randn(WIDTH).to(dtype))),
            "gate": (gate, (wide, wide)),
            "rotary": (apply_rotary_pos_emb, (*turned, *angles)),
            "moments": (moments, (torch.randn(64, 4096),)),
        }
        for name, (part, inputs) in parts.items():
            start, fused = time.perf_counter(), torch.compile(part, dynamic=True)
            fused(*inputs)
            took = time.perf_counter() - start
            before, after = (milliseconds(partial(f, *inputs), 15) for f in (part, fused))
            print(f"compiled, {name}, {dtype}: {before:.2f} → {after:.2f} ms, compiled in {took:.1f} s")


def norm(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    wide = x.float()
    return weight * (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-5)).to(x.dtype)


def gate(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.silu(a) * b


def moments(z: torch.Tensor) -> tuple[torch.Tensor, ...]:
    top = z.amax(-1)
    weight = (z - top[:, None]).exp()
    below = z - top[:, None]
    return top, weight.sum(-1), (weight * below).sum(-1), (weight * below * below).sum(-1)


if __name__ == "__main__":
    main()
