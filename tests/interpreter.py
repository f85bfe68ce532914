"""Triton's interpreter in place of its compiler, for the kernels of a GPU where there is none; and its compiler by itself."""

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
    """Have the kernels interpreted, along with Triton's own functions, which may have been imported before by others."""
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
    """What kernels need on an H100, by name, compiled in a process of its own; see compile_kernels."""
    environment = os.environ | {"TRITON_CACHE_DIR": str(folder), "TRITON_INTERPRET": "0"}
    script = Path(__file__).with_name("compile_kernels.py")
    done = subprocess.run([sys.executable, script, kernels], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
