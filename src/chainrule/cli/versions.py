"""The versions that matter, from the metadata of the installed packages: none of them is imported."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

REQUIRED = ("torch", "transformers", "tokenizers", "numpy", "safetensors", "pyarrow")
OPTIONAL = ("gguf", "accelerate", "pandas", "polars", "triton")
SHORT = ("torch", "transformers", "tokenizers")


def installed(package: str) -> str | None:
    """Its version; None if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def version_lines() -> list[str]:
    """The output of --version: chainrule first, its most important parts, and the compiled kernels."""
    from chainrule.ops.library.build import status

    kernels = status()
    names = [("Python", platform.python_version()), *((name, installed(name) or "not installed") for name in SHORT)]
    state = "" if kernels else "none: "
    return [
        f"chainrule {version('chainrule')}",
        *(f"{name} {number}" for name, number in names),
        f"kernels {state}{kernels.reason}",
    ]
