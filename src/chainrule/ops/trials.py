"""Trials of this machine's kernels, made once and kept in the cache folder (`chainrule.ops.findings`)."""

from __future__ import annotations

from collections.abc import Callable

from chainrule.ops.conditions import conditions
from chainrule.ops.findings import always, recall, remember


def known(name: str, trial: Callable[[], bool]) -> bool:
    """The result of a trial of this name: the one that is kept under the present conditions, or that of a call."""
    if always():
        return trial()
    here = conditions() | {"subject": "products"}
    if isinstance(result := (recall(here) or {}).get(name), bool):
        return result
    result = trial()
    remember(here, (recall(here) or {}) | {name: result})  # other processes may have added some
    return result
