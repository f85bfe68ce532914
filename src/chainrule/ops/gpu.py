"""Where Triton's kernels can run."""

from __future__ import annotations

import os
from importlib.util import find_spec

from torch import Tensor


def takes_triton(x: Tensor) -> bool:
    """Whether there is Triton for this tensor: on a GPU, or in its interpreter, which takes those of the CPU."""
    return (x.is_cuda or os.environ.get("TRITON_INTERPRET") == "1") and find_spec("triton") is not None
