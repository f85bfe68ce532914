"""How many threads the network runs on: one for each core that this process may use.

PyTorch counts the cores of the machine. Where a container or a batch system grants fewer, threads beyond those wait for
each other, and everything takes many times as long.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import torch

from chainrule._checks import is_whole
from chainrule.errors import ModelError

ROOT = Path("/")


_chosen = False  # whether it has been done before in this process


def choose(requested: int | None = None, root: Path = ROOT) -> int:
    """Set the number of threads of PyTorch, which is one for the whole process, and return it.

    `requested` counts before all else. Without it the first call chooses, and later ones leave the number as it is then.
    The first call leaves a number that the program has set itself (torch.set_num_threads), which is known by being none
    that PyTorch comes up with: neither that of the process's logical or physical cores nor OMP_NUM_THREADS. Else it is
    OMP_NUM_THREADS where that is set, else `available()`. Raises ModelError for what is no whole number of 1 or more.
    """
    global _chosen
    if requested is not None:
        if not is_whole(requested, 1):
            raise ModelError(
                f"threads must be a whole number, 1 or more, not {requested!r}; leave it out for one a core ({available(root)})"
            )
        torch.set_num_threads(int(requested))
    elif not _chosen and torch.get_num_threads() in _defaults(root):
        torch.set_num_threads(_named() or available(root))
    _chosen = True
    return torch.get_num_threads()


def available(root: Path = ROOT) -> int:
    """Physical cores that this process may use: at least 1.

    Those of its affinity mask, hyper-threads of one core counted once, and no more than the CPU time that its control
    groups grant. Where the system does not tell, the logical cores. `root` is where /sys and /proc lie.
    """
    return min([_physical(_cpus(), root), *_grants(root)])


def _defaults(root: Path) -> set[int | None]:
    """What PyTorch may come up with by itself."""
    cpus = _cpus()
    return {_named(), len(cpus), _physical(cpus, root), os.cpu_count()}


def _named() -> int | None:
    """OMP_NUM_THREADS, of whose levels the first counts."""
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(first) if first.isdecimal() and int(first) > 0 else None


def _cpus() -> list[int]:
    """The logical cores that this process may run on."""
    affinity: Callable[[int], Iterable[int]] | None = getattr(os, "sched_getaffinity", None)
    return sorted(affinity(0)) if affinity else list(range(os.cpu_count() or 1))


def _physical(cpus: list[int], root: Path) -> int:
    """How many cores these logical ones are: hyper-threads name each other."""
    topology = root / "sys/devices/system/cpu"
    names = ("thread_siblings_list", "core_cpus_list")
    cores = (next(filter(None, (_read(topology / f"cpu{cpu}/topology/{name}") for name in names)), str(cpu)) for cpu in cpus)
    return len(set(cores))


def _grants(root: Path) -> list[int]:
    """Whole cores' worth of CPU time that the process's control groups, and those above them, allow it."""
    found = []
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            found += [_quota_v2(folder) for folder in _upwards(root / "sys/fs/cgroup", path)]
        elif "cpu" in controllers.split(","):
            for mount in ("cpu", controllers):
                found += [_quota_v1(folder) for folder in _upwards(root / "sys/fs/cgroup" / mount, path)]
    return [max(1, int(quota)) for quota in found if quota is not None]


def _upwards(mount: Path, path: str) -> list[Path]:
    """The folders of a control group and of all above it; within a container the mount itself may be that group."""
    parts = [part for part in path.split("/") if part not in ("", "..")]
    return [mount.joinpath(*parts[:depth]) for depth in range(len(parts), -1, -1)]


def _quota_v2(folder: Path) -> float | None:
    quota, _, period = _read(folder / "cpu.max").partition(" ")
    return _cores(quota, period)


def _quota_v1(folder: Path) -> float | None:
    return _cores(*(_read(folder / name) for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us")))


def _cores(quota: str, period: str) -> float | None:
    """Microseconds of CPU time in each period; "max" and −1 say that there is no limit."""
    return int(quota) / int(period) if quota.isdecimal() and period.isdecimal() and int(period) else None


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""
