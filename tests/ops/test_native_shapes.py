"""Every kernel on random shapes against float64, in separate processes: compiled for older processors, by clang, and with
arrays next to inaccessible pages."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from chainrule.ops import native

pytestmark = pytest.mark.skipif(not native.status(), reason=f"no compiled kernels: {native.status().reason}")

SCRIPT = Path(__file__).resolve().parents[1] / "native_shapes.py"


def on_random_shapes(*options: str, **environment: str) -> str:
    command = [sys.executable, str(SCRIPT), *options]
    process = subprocess.run(command, capture_output=True, text=True, env=os.environ | environment)
    assert process.returncode == 0, f"ended by {process.returncode}: {process.stdout}{process.stderr[-3000:]}"
    return process.stdout


@pytest.mark.parametrize("threads", ["1", "2"])
def test_kernels_for_avx2(threads: str):
    output = on_random_shapes("--count", "24", "--threads", threads, CHAINRULE_NATIVE="avx2")
    assert output == "8 lanes, 24 shapes of each kernel: right\n"


@pytest.mark.parametrize("choice", ["1", "avx512", "avx2"])
@pytest.mark.parametrize("seed", ["0", "1000"])
def test_no_kernel_reads_or_writes_out_of_bounds(choice: str, seed: str):
    lanes = 8 if choice == "avx2" else native.status().lanes
    output = on_random_shapes("--count", "20", "--guard", "--seed", seed, CHAINRULE_NATIVE=choice)
    assert output == f"{lanes} lanes, 20 shapes of each kernel: right\n"


@pytest.mark.skipif(shutil.which("clang") is None, reason="there is no clang")
@pytest.mark.parametrize("choice", ["1", "avx512", "avx2"])
def test_kernels_compiled_by_clang(choice: str):
    assert "shapes of each kernel: right" in on_random_shapes("--guard", CC="clang", CHAINRULE_NATIVE=choice)


def test_an_access_to_a_guard_page_ends_the_process():
    """A kernel that reads one number too many would end the same way."""
    code = (
        "import ctypes, torch; from native_shapes import Guarded\n"
        "x = Guarded(at_end=True)(torch.zeros(3)); print(ctypes.c_float.from_address(x.data_ptr() + 8).value, flush=True)\n"
        "ctypes.c_float.from_address(x.data_ptr() + 12).value"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=SCRIPT.parent)
    assert (process.stdout, process.returncode) == ("0.0\n", -11)
