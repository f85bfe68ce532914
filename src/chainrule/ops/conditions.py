"""The conditions on this machine and in this process that may decide the result of a trial."""

from __future__ import annotations

import os
import platform
import sys
import types
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from chainrule.ops.findings import digest
from chainrule.ops.library import build
from chainrule.ops.waiting import WAITING

LAYERS = ("engine", "forest", "models", "ops")  # folders of this package whose code decides
_SHARED = ("transformers.masking_utils", "transformers.integrations.sdpa_attention", "transformers.activations")
_VARIABLES = ("ATEN", "DNNL", "GOMP", "KMP", "LD_PRELOAD", "MKL", "OMP", "ONEDNN", "OPENBLAS", "PYTORCH", "TORCH_")


def conditions() -> dict[str, Any]:
    """Processor, versions, code, kernels, environment, and settings of torch, under which trials give the same results."""
    kernels = build.status()
    return _fixed() | {
        "kernels": [kernels.reason, kernels.digest],
        "environment": {
            name: value for name, value in os.environ.items() if name.startswith(_VARIABLES) and name not in WAITING
        },
        "threads": torch.get_num_threads(),
        "settings": [
            flushes_denormals(),
            torch.get_float32_matmul_precision(),
            torch.are_deterministic_algorithms_enabled(),
            torch.backends.mkldnn.enabled,
            *(enabled() for enabled in (_flash, _math, _efficient)),
        ],
    }


_flash, _math = torch.backends.cuda.flash_sdp_enabled, torch.backends.cuda.math_sdp_enabled  # of the CPU as well
_efficient = torch.backends.cuda.mem_efficient_sdp_enabled


def flushes_denormals() -> bool:
    """Whether this thread treats denormal numbers as 0 (torch.set_flush_denormal). Other threads may not."""
    return _SMALLEST * _ONE == 0.0


_SMALLEST, _ONE = [5e-324, 1.0]


def thread_state() -> tuple[int, bool]:
    """The number of threads, and the treatment of denormal numbers: the state of a thread that factors may depend on."""
    return torch.get_num_threads(), flushes_denormals()


@cache
def _fixed() -> dict[str, Any]:
    """What does not change while this process runs."""
    folder = Path(__file__).parents[1]
    files = sorted(path for layer in LAYERS for path in (folder / layer).rglob("*") if path.suffix in (".py", ".c", ".h"))
    code = (part for path in files for part in (str(path.relative_to(folder)), path.read_text("utf-8")))
    return {
        "processor": digest(platform.machine(), *build.processor()),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "system": platform.platform(),
        "versions": [platform.python_version(), torch.__version__, *map(version, ("transformers", "chainrule", "numpy"))],
        "torch": digest(torch.__config__.show()),
        "code": digest(*code),
    }


def code_of(classes: Iterable[type]) -> str:
    """A digest of the code of the modules that define these classes, as it is in this process: code may have been replaced."""
    names = {kind.__module__ for each in classes for kind in each.__mro__ if kind.__module__.startswith("transformers.models.")}
    names |= {name for name in _SHARED if name in sys.modules}
    return digest(*(part for name in sorted(names) for part in (name, *_codes(vars(sys.modules[name]), name))))


def _codes(names: Mapping[str, Any], module: str) -> Iterator[str]:
    """The code of all functions that these names are bound to, and of the classes of the module."""
    for name, value in sorted(names.items()):
        function = getattr(value, "fget", value)  # of a property
        while function is not None and not isinstance(function, type):
            if isinstance(function, types.FunctionType):
                yield f"{name} {_code(function.__code__)}"
            function = vars(function).get("__wrapped__") if hasattr(function, "__dict__") else None
        if isinstance(value, type):
            yield f"{name} {value.__module__}.{value.__qualname__}"
            if value.__module__ == module:
                yield from _codes(vars(value), module)


def _code(code: types.CodeType) -> str:
    """A function as text, with its constants; sets have no order."""
    constants = (_code(c) if isinstance(c, types.CodeType) else _constant(c) for c in code.co_consts)
    return f"{code.co_code.hex()} {code.co_names} {code.co_varnames} [{', '.join(constants)}]"


def _constant(constant: Any) -> str:
    return f"{{{sorted(map(repr, constant))}}}" if isinstance(constant, frozenset) else repr(constant)
