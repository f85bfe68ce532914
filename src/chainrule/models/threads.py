"""The number of threads of the network: one for each core that this process may use.

PyTorch counts the cores of the machine. If a container or batch system grants fewer, the surplus threads wait for each
other, and everything takes many times longer.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from chainrule.errors import ModelError
from chainrule.models.control_groups import ROOT, cpu_grants, read

_chosen = False  # whether `choose` was called before in this process


def choose(requested: int | None = None, root: Path = ROOT) -> int:
    """Set the number of threads of PyTorch, which is global to the process, and return it.

    `requested` takes precedence. Without it, the first call chooses the number and later calls keep it. The first call keeps
    a number set by the program itself (torch.set_num_threads): one that differs from all defaults of PyTorch, which are the
    logical cores, the physical cores and OMP_NUM_THREADS. Otherwise the number is OMP_NUM_THREADS if it is set, else
    `available()`. Raises ModelError unless `requested` is a whole number, 1 or more.
    """
    import torch

    from chainrule._checks import is_whole

    global _chosen
    if requested is not None:
        if not is_whole(requested, 1):
            raise ModelError(
                f"threads must be a whole number, 1 or more, not {requested!r}; omit it for one per core ({available(root)})"
            )
        torch.set_num_threads(int(requested))
    elif not _chosen and torch.get_num_threads() in _defaults(root):
        torch.set_num_threads(_named() or available(root))
    _chosen = True
    return torch.get_num_threads()


def available(root: Path = ROOT) -> int:
    """The number of physical cores that this process may use, at least 1.

    These are the cores of its affinity mask, with the hyper-threads of a core counted once, but no more than the CPU time
    that its control groups grant. Logical cores are counted if the system does not report physical ones. `root` is the
    folder of /sys and /proc.
    """
    return min([_physical(_cpus(), root), *cpu_grants(root)])


def _defaults(root: Path) -> set[int | None]:
    """The numbers that PyTorch may choose by default."""
    cpus = _cpus()
    return {_named(), len(cpus), _physical(cpus, root), os.cpu_count()}


def _named() -> int | None:
    """The first level of OMP_NUM_THREADS; None if it is unset or invalid."""
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(first) if first.isdecimal() and int(first) > 0 else None


def _cpus() -> list[int]:
    """The logical cores that this process may run on."""
    affinity: Callable[[int], Iterable[int]] | None = getattr(os, "sched_getaffinity", None)
    return sorted(affinity(0)) if affinity else list(range(os.cpu_count() or 1))


def _physical(cpus: list[int], root: Path) -> int:
    """The number of physical cores of these logical ones. Hyper-threads of one core list the same siblings."""
    topology = root / "sys/devices/system/cpu"
    names = ("thread_siblings_list", "core_cpus_list")
    cores = (next(filter(None, (read(topology / f"cpu{cpu}/topology/{name}") for name in names)), str(cpu)) for cpu in cpus)
    return len(set(cores))
