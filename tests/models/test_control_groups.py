"""The memory that control groups grant. CPU quotas: see test_threads."""

from pathlib import Path

import pytest

from chainrule.models.control_groups import available_memory

MEMINFO = "MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable: 800 kB\nHugePages_Total: 0\n"
K = 1024
GROUP, GROUP_1 = "sys/fs/cgroup/a/", "sys/fs/cgroup/memory/a/"
CASES = {
    "no control groups": ({"proc/meminfo": MEMINFO}, (1000 * K, 800 * K, False)),
    "no limit": (
        {"proc/meminfo": MEMINFO, "proc/self/cgroup": "0::/a", f"{GROUP}memory.max": "max"},
        (1000 * K, 800 * K, False),
    ),
    "a group, whose inactive pages can be dropped": (
        {
            "proc/meminfo": MEMINFO,
            "proc/self/cgroup": "0::/a",
            f"{GROUP}memory.max": str(500 * K),
            f"{GROUP}memory.current": str(300 * K),
            f"{GROUP}memory.stat": f"anon 1\ninactive_file {50 * K}\n",
        },
        (500 * K, 250 * K, True),
    ),
    "an ancestor with less": (
        {
            "proc/meminfo": MEMINFO,
            "proc/self/cgroup": "0::/a/b",
            f"{GROUP}b/memory.max": str(500 * K),
            f"{GROUP}b/memory.current": str(100 * K),
            f"{GROUP}memory.max": str(600 * K),
            f"{GROUP}memory.current": str(590 * K),
        },
        (500 * K, 10 * K, True),
    ),
    "more available in the group than in the machine": (
        {"proc/meminfo": MEMINFO, "proc/self/cgroup": "0::/", "sys/fs/cgroup/memory.max": str(900 * K)},
        (900 * K, 800 * K, True),
    ),
    "version 1": (
        {
            "proc/meminfo": MEMINFO,
            "proc/self/cgroup": "4:memory:/a\n1:cpu,cpuacct:/",
            f"{GROUP_1}memory.limit_in_bytes": str(500 * K),
            f"{GROUP_1}memory.usage_in_bytes": str(450 * K),
            "sys/fs/cgroup/memory/memory.limit_in_bytes": str((1 << 63) - 4096),
        },
        (500 * K, 50 * K, True),
    ),
    "another system": ({}, (None, None, False)),
}


@pytest.mark.parametrize("case", CASES)
def test_available_memory(tmp_path: Path, case: str):
    files, expected = CASES[case]
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    assert available_memory(tmp_path) == expected
