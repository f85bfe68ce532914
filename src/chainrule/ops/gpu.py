"""Whether Triton kernels can run."""

from __future__ import annotations

import os
from importlib.util import find_spec

from torch import Tensor


def takes_triton(x: Tensor) -> bool:
    """Whether Triton runs on this tensor: it is on a GPU, or Triton's interpreter is active, which runs on the CPU."""
    return (x.is_cuda or os.environ.get("TRITON_INTERPRET") == "1") and find_spec("triton") is not None
