"""Compile the Triton kernels for an H100, without a GPU, and print their resources; see `interpreter.compiled`.

python tests/compile_kernels.py head|attention
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from chainrule.engine.attention.triton import TILES
from chainrule.engine.head import fused, launch
from chainrule.ops import attention_triton, head_triton

TYPES = {2: "bf16", 4: "fp32"}
PRODUCTS = ("wgmma.mma", "mma.sync", "fma.rn.f32")
INTEGERS = ("M", "F", "V", "H", "S", "R", "K", "B")
POINTERS = {
    "logit_F": "fp32",
    "logit_MT": "fp32",
    "logsumexp_M": "fp64",
    "entropy_M": "fp64",
    "variance_M": "fp64",
    "largest_M": "fp64",
} | dict.fromkeys(("row_F", "row_M", "token_F", "token_MT"), "i64")
TABLES = ("count_SMT", "best_id_SMK", "first_K", "end_K", "limit_K", "depth_R", "full_count_Q", "part_count_Q", "full_index_QB",
          "part_index_QB")  # fmt: skip
OPERANDS = ("hidden", "weight", "bias", "query", "key", "value", "out", "sink_H")


def compiled(kernel: Any, itemsize: int, options: dict[str, Any], **constants: Any) -> Any:
    """A kernel compiled for operands of this size, with strides and pointers that are multiples of 16."""
    types = {name: "*" + t for name, t in (POINTERS | dict.fromkeys(TABLES, "i32")).items()}
    types |= dict.fromkeys(OPERANDS, "*" + TYPES[itemsize]) | dict.fromkeys(INTEGERS, "i32")
    types["member_V"] = "*u8"
    types |= dict.fromkeys(("scale", "softcap", "inverse"), "fp32") | dict.fromkeys(constants, "constexpr")
    signature = {name: types.get(name, "i32" if name.startswith("stride") else "*fp32") for name in kernel.arg_names}
    aligned = [i for i, (n, t) in enumerate(signature.items()) if t[0] == "*" or n == "H" or n.startswith("stride")]
    source = ASTSource(
        kernel, signature, {(kernel.arg_names.index(n),): v for n, v in constants.items()},
        {(i,): [["tt.divisibility", 16]] for i in aligned},
    )  # fmt: skip
    return triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)


def head() -> dict[str, Any]:
    """All three kernels, with every feature of a head."""
    kernels = {"combine": compiled(head_triton.combine_kernel, 4, {}, HAS_TEMPERATURE=True, TILE=launch.COMBINED)}
    variants = {"moments": (1, 0, True), "best": (1, 5, True), "ranks": (fused.TARGETS, 0, False), "sets": (1, 0, True)}
    for itemsize, tile in launch.TILES.items():
        options = {"num_warps": tile.num_warps, "num_stages": tile.num_stages, "enable_fp_fusion": False}
        shape = {"HAS_BIAS": True, "HAS_SOFTCAP": True, "WIDEN": False, "TILE": tile.size, "DEPTH": tile.depth}
        kernels[f"target {TYPES[itemsize]}"] = compiled(head_triton.target_kernel, itemsize, options, **shape)
        for name, (targets, top, moments) in variants.items():
            kernels[f"{name} {TYPES[itemsize]}"] = compiled(
                head_triton.sweep_kernel, itemsize, options, T=targets, TOP=top, WIDTH=8 if top else 1, HAS_TEMPERATURE=True,
                MOMENTS=moments, SETS=3 if name == "sets" else 0, SET_WIDTH=4 if name == "sets" else 1,
                SPLIT=launch.SPLIT, **shape,
            )  # fmt: skip
    return {name: resources(kernel) for name, kernel in kernels.items()}


def attention() -> dict[str, Any]:
    """The largest tile for each type and width, with every feature of attention."""
    kernels = {}
    for (itemsize, width), tiles in TILES.items():
        options = {"num_warps": tiles[0].num_warps, "num_stages": tiles[0].num_stages}
        shape = {"ROWS": tiles[0].rows, "KEYS": tiles[0].keys, "WIDEN": False, "SHARE": 3}
        shape |= {"D": width, "E": width, "WIDE_D": width, "WIDE_E": width}
        shape |= dict.fromkeys(("HAS_SINK", "HAS_WINDOW", "HAS_SOFTCAP"), True)
        kernel = compiled(attention_triton.attend_kernel, itemsize, options, **shape)
        kernels[f"{itemsize} bytes, {width} wide"] = resources(kernel) | {"estimated": tiles[0].bytes(2 * width, itemsize)}
    return kernels


def resources(kernel: Any) -> dict[str, Any]:
    """Bytes of shared memory, instructions of products, and bytes of registers that a thread spills."""
    products = sorted({word for word in kernel.asm["ptx"].split() if word.startswith(PRODUCTS)})
    return {"shared": kernel.metadata.shared, "products": products, "spilled": spilled(kernel.asm["ptx"])}


def spilled(ptx: str) -> int:
    tool = next((Path(triton.__file__).parent / "backends" / "nvidia" / "bin").glob("ptxas*"))
    with tempfile.TemporaryDirectory() as folder:
        (source := Path(folder) / "kernel.ptx").write_text(ptx)
        command = [str(tool), "-v", "--gpu-name=sm_90a", str(source), "-o", str(source.with_suffix(".cubin"))]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    return sum(map(int, re.findall(r"(\d+) bytes spill stores", output)))


if __name__ == "__main__":
    print(json.dumps({"head": head, "attention": attention}[sys.argv[1]]()))
