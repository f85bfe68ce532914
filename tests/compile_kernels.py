"""Compile the kernels of the fused head for an H100, which takes no GPU, and print what they need; run by test_fused_head."""

from __future__ import annotations

import json

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from chainrule.engine import fused_head, head_kernel

INTEGERS = ("M", "F", "V", "H", "stride_h", "stride_w")
POINTERS = {"logit_F": "fp32", "logit_MT": "fp32", "count_SMT": "i32", "best_id_SMK": "i32"} | dict.fromkeys(
    ("row_F", "row_M", "token_F", "token_MT"), "i64"
)


def compiled(kernel, dtype: str, **constants):
    """One kernel with all that a head can have, as `fused_head` would launch it."""
    tile = fused_head.TILES[{"bf16": 2, "fp32": 4}[dtype]]
    constants |= {"HAS_BIAS": True, "HAS_SOFTCAP": True, "WIDEN": False, "TILE": tile.size, "DEPTH": tile.depth}
    types = dict.fromkeys(INTEGERS, "i32") | dict.fromkeys(("scale", "softcap"), "fp32") | dict.fromkeys(constants, "constexpr")
    types |= {name: "*" + t for name, t in POINTERS.items()} | dict.fromkeys(("hidden", "weight", "bias"), "*" + dtype)
    signature = {name: types.get(name, "*fp32") for name in kernel.arg_names}
    aligned = [i for i, (n, t) in enumerate(signature.items()) if t[0] == "*" or n in ("H", "stride_h", "stride_w")]
    source = ASTSource(
        kernel, signature, {(kernel.arg_names.index(n),): v for n, v in constants.items()},
        {(i,): [["tt.divisibility", 16]] for i in aligned},
    )  # fmt: skip
    options = {"num_warps": tile.num_warps, "num_stages": tile.num_stages, "enable_fp_fusion": False}
    return triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)


def main() -> None:
    sizes = {}
    for dtype in ("bf16", "fp32"):
        asked = {"moments": (1, 0, True), "best": (1, 5, True), "ranks": (fused_head.TARGETS, 0, False)}
        made = {"target": compiled(head_kernel.target_kernel, dtype)}
        for name, (targets, top, moments) in asked.items():
            made[name] = compiled(head_kernel.sweep_kernel, dtype, T=targets, TOP=top, WIDTH=8 if top else 1, MOMENTS=moments,
                                  SPLIT=fused_head.SPLIT)  # fmt: skip
        for name, kernel in made.items():
            ptx = kernel.asm["ptx"].split()
            products = sorted({word for word in ptx if word.startswith(("wgmma.mma", "mma.sync", "fma.rn.f32"))})
            sizes[f"{name} {dtype}"] = {"shared": kernel.metadata.shared, "products": products}
    print(json.dumps(sizes))


if __name__ == "__main__":
    main()
