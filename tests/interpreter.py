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
    kernels = "chainrule.ops.head_triton", "chainrule.ops.attention_triton"
    for name in kernels:  # other tests may have imported them to be compiled
        patch.delitem(sys.modules, name, raising=False)
    for name in kernels:
        import_module(name)


def compiled(kernels: str, config: pytest.Config) -> dict[str, dict[str, Any]]:
    """The resources of kernels on an H100, by name, from a separate process; see compile_kernels.

    Triton keeps what it has compiled, by source, options and version, in pytest's cache: compiling takes 20 s.
    """
    folder = config.cache.mkdir("triton") if config.cache else ""
    environment = os.environ | {"TRITON_INTERPRET": "0"} | ({"TRITON_CACHE_DIR": str(folder)} if folder else {})
    script = Path(__file__).with_name("compile_kernels.py")
    done = subprocess.run([sys.executable, script, kernels], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
