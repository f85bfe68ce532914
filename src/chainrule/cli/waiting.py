"""How idle threads of OpenMP wait: chosen on the command line, before torch is loaded. A library may not choose it."""

from __future__ import annotations

import os

_CHOSEN = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")  # of any runtime, GNU's, LLVM's and Intel's


def choose_waiting() -> None:
    """Let idle threads sleep, unless the user has chosen. By default they spin, which takes the cores from other programs."""
    if not any(os.environ.get(name) for name in _CHOSEN):
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
