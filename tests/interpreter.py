"""The kernels of a GPU on a machine without one: in Triton's interpreter, or compiled but not run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest


def interpreted(patch: pytest.MonkeyPatch) -> None:
    """Make Triton interpret the kernels, and its own functions, which other code may have imported before."""
    import triton.language as tl
    from triton.runtime.interpreter import InterpretedFunction
    from triton.runtime.jit import JITFunction

    for module in (tl, tl.standard):
        for name, function in list(vars(module).items()):
            if isinstance(function, JITFunction):
                setattr(module, name, InterpretedFunction(function.fn))
    patch.setenv("TRITON_INTERPRET", "1")
    import_module("chainrule.ops.head_triton")
    import_module("chainrule.ops.attention_triton")


def compiled(kernels: str, folder: Path) -> dict[str, dict[str, Any]]:
    """The resources of kernels on an H100, by name, from a separate process; see compile_kernels."""
    environment = os.environ | {"TRITON_CACHE_DIR": str(folder), "TRITON_INTERPRET": "0"}
    script = Path(__file__).with_name("compile_kernels.py")
    done = subprocess.run([sys.executable, script, kernels], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
