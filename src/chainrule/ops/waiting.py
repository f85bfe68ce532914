"""How idle threads of OpenMP wait: the variables that decide it, for processes that are ours."""

from __future__ import annotations

from collections.abc import MutableMapping

WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")  # of GNU's, LLVM's and Intel's runtime; speed only


def let_sleep(environment: MutableMapping[str, str]) -> None:
    """Let idle threads sleep, unless the user has chosen. By default they spin, which takes the cores from other programs."""
    if not any(environment.get(name) for name in WAITING):
        environment["OMP_WAIT_POLICY"] = "PASSIVE"
