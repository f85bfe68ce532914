"""Whether Triton kernels can run."""

from __future__ import annotations

import os
from importlib.util import find_spec

from torch import Tensor


def takes_triton(x: Tensor) -> bool:
    """Whether Triton runs on this tensor: on a GPU, or on the CPU in Triton's interpreter if that is enabled."""
    return (x.is_cuda or os.environ.get("TRITON_INTERPRET") == "1") and find_spec("triton") is not None
