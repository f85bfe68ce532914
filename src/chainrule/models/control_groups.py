"""What the control groups of Linux grant this process: CPU time and memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")  # of /sys and /proc


def cpu_grants(root: Path = ROOT) -> list[int]:
    """The CPU quotas, in whole cores, of the process's control groups and their ancestors."""
    quotas = [_quota_v2(folder) if unified else _quota_v1(folder) for folder, unified in _groups("cpu", root)]
    return [max(1, int(quota)) for quota in quotas if quota is not None]


def available_memory(root: Path = ROOT) -> tuple[int | None, int | None, bool]:
    """The bytes of memory in total and available, and whether a control group limits them; None if they are unknown.

    Pages of files that a group has read, and that can be dropped, count as available.
    """
    amounts = _meminfo(root / "proc/meminfo")
    total, free, limited = amounts.get("MemTotal"), amounts.get("MemAvailable"), False
    for folder, unified in _groups("memory", root):
        limit, used = ("memory.max", "memory.current") if unified else ("memory.limit_in_bytes", "memory.usage_in_bytes")
        most = _number(folder / limit)  # "max" if there is no limit; in version 1, a number near 2^63
        if most is None or (machine := amounts.get("MemTotal", most)) < most:
            continue
        statistics = dict(line.split(" ", 1) for line in read(folder / "memory.stat").splitlines() if " " in line)
        droppable = statistics.get("inactive_file" if unified else "total_inactive_file", "0")
        left = max(0, most - (_number(folder / used) or 0) + (int(droppable) if droppable.isdecimal() else 0))
        total = min(most, machine if total is None else total)
        free, limited = min(left, total, *([] if free is None else [free])), True
    return total, free, limited


def read(file: Path) -> str:
    """The content of a file, "" if it cannot be read."""
    try:
        return file.read_text().strip()
    except OSError:
        return ""


def _groups(controller: str, root: Path) -> Iterator[tuple[Path, bool]]:
    """The folders of the process's control groups with this controller, and of their ancestors; whether they are version 2."""
    for line in read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            yield from ((folder, True) for folder in _upwards(root / "sys/fs/cgroup", path))
        elif controller in controllers.split(","):
            for mount in dict.fromkeys((controller, controllers)):
                yield from ((folder, False) for folder in _upwards(root / "sys/fs/cgroup" / mount, path))


def _upwards(mount: Path, path: str) -> list[Path]:
    """The folders of a control group and its ancestors, up to the mount, which may be the group itself in a container."""
    parts = [part for part in path.split("/") if part not in ("", "..")]
    return [mount.joinpath(*parts[:depth]) for depth in range(len(parts), -1, -1)]


def _quota_v2(folder: Path) -> float | None:
    quota, _, period = read(folder / "cpu.max").partition(" ")
    return _cores(quota, period)


def _quota_v1(folder: Path) -> float | None:
    return _cores(*(read(folder / name) for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us")))


def _cores(quota: str, period: str) -> float | None:
    """The quota in cores, from microseconds of CPU time per period; None for "max" and −1, which mean no limit."""
    return int(quota) / int(period) if quota.isdecimal() and period.isdecimal() and int(period) else None


def _number(file: Path) -> int | None:
    text = read(file)
    return int(text) if text.isdecimal() else None


def _meminfo(file: Path) -> dict[str, int]:
    """The amounts in bytes, by name; none on a system without this file."""
    rows = [line.split() for line in read(file).splitlines()]
    return {row[0].rstrip(":"): int(row[1]) * 1024 for row in rows if len(row) > 1 and row[1].isdecimal()}
