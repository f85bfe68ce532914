"""The number of threads: requested, set by the program, or granted by the system, with simulated /sys and /proc."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import chainrule
import chainrule.models.threads
from chainrule import ModelError
from chainrule.engine.predictors.registry import network_class, wrap
from chainrule.models.load import load_model
from chainrule.models.threads import available, choose

Machine = Callable[..., Path]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A function that simulates a machine with these cores, hyper-threads per core and files, all usable by the process."""

    def make(cores: int, threads: int = 1, files: dict[str, str] | None = None, name: str = "thread_siblings_list") -> Path:
        cpus = range(cores * threads)
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(cpus), raising=False)
        monkeypatch.setattr(os, "cpu_count", lambda: len(cpus))
        siblings = {cpu: ",".join(str(other) for other in cpus if other % cores == cpu % cores) for cpu in cpus}
        topology = {f"sys/devices/system/cpu/cpu{cpu}/topology/{name}": text for cpu, text in siblings.items()}
        for path, text in (topology | (files or {})).items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(f"{text}\n")
        return tmp_path

    return make


@pytest.fixture
def torch_has(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[int]]:
    """A function that simulates a new process with this number of PyTorch threads. Numbers set later are appended."""

    def start(threads: int) -> list[int]:
        numbers = [threads]
        monkeypatch.setattr(chainrule.models.threads, "_chosen", False)
        monkeypatch.setattr(torch, "get_num_threads", lambda: numbers[-1])
        monkeypatch.setattr(torch, "set_num_threads", numbers.append)
        return numbers

    return start


# Cores granted by the system


def test_cores_of_the_affinity_mask(machine: Machine, monkeypatch: pytest.MonkeyPatch):
    root = machine(8)
    assert available(root) == 8
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {2, 5, 7})
    assert available(root) == 3


@pytest.mark.parametrize("name", ["thread_siblings_list", "core_cpus_list"])
def test_hyper_threads_of_one_core_count_once(machine: Machine, monkeypatch: pytest.MonkeyPatch, name: str):
    root = machine(4, threads=2, name=name)
    assert available(root) == 4
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 4, 1})  # 0 and 4 are one core
    assert available(root) == 2


def test_a_system_without_information(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert available(tmp_path) == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert available(tmp_path) == 1


@pytest.mark.parametrize(
    ("quota", "want"),
    [("max 100000", 8), ("200000 100000", 2), ("250000 100000", 2), ("50000 100000", 1), ("1600000 100000", 8), ("x y", 8)],
)
@pytest.mark.parametrize(
    ("path", "folder"), [("/", ""), ("/a/b", "a/b/"), ("/a/b", "a/"), ("/a/b", ""), ("/../c", "c/")], ids=str
)
def test_quota_of_a_control_group_or_one_above_it(machine: Machine, quota: str, want: int, path: str, folder: str):
    root = machine(8, files={"proc/self/cgroup": f"0::{path}", f"sys/fs/cgroup/{folder}cpu.max": quota})
    assert available(root) == want


def test_the_smallest_quota_applies(machine: Machine):
    quotas = {"sys/fs/cgroup/a/b/cpu.max": "600000 100000", "sys/fs/cgroup/a/cpu.max": "300000 100000"}
    assert available(machine(8, files={"proc/self/cgroup": "0::/a/b"} | quotas)) == 3


@pytest.mark.parametrize(("quota", "want"), [("-1", 8), ("300000", 3), ("350000", 3), ("1000", 1)])
@pytest.mark.parametrize("mount", ["cpu", "cpu,cpuacct"])
@pytest.mark.parametrize("folder", ["", "docker/x/"])
def test_quota_of_the_first_version(machine: Machine, quota: str, want: int, mount: str, folder: str):
    groups = "12:memory:/docker/x\n4:cpu,cpuacct:/docker/x\n0::/elsewhere"
    prefix = f"sys/fs/cgroup/{mount}/{folder}"
    files = {"proc/self/cgroup": groups, f"{prefix}cpu.cfs_quota_us": quota, f"{prefix}cpu.cfs_period_us": "100000"}
    assert available(machine(8, files=files)) == want


def test_quota_of_another_group_does_not_count(machine: Machine):
    assert available(machine(8, files={"proc/self/cgroup": "0::/a", "sys/fs/cgroup/b/cpu.max": "100000 100000"})) == 8


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity masks")
def test_here():
    """On the /sys and /proc of this machine, the number is at most the number of usable logical cores."""
    before = os.sched_getaffinity(0)
    try:
        for count in range(1, len(before) + 1):
            os.sched_setaffinity(0, sorted(before)[:count])
            assert 1 <= available() <= count
    finally:
        os.sched_setaffinity(0, before)
    assert os.sched_getaffinity(0) == before


# The chosen number


def test_the_requested_number_takes_precedence(machine: Machine, torch_has, monkeypatch: pytest.MonkeyPatch):
    root, threads = machine(4, threads=2), torch_has(3)
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert choose(7, root) == 7
    assert threads == [3, 7]


@pytest.mark.parametrize("wrong", [0, -1, 2.0, "2", True, float("nan")])
def test_invalid_numbers_of_threads(machine: Machine, torch_has, wrong: Any):
    root, threads = machine(4), torch_has(4)
    with pytest.raises(ModelError, match=r"threads must be a whole number, 1 or more, not .*; omit it .*\(4\)"):
        choose(wrong, root)
    assert threads == [4]


@pytest.mark.parametrize("start", [4, 8])  # PyTorch's own default is one or the other
def test_one_thread_per_core_by_default(machine: Machine, torch_has, start: int):
    files = {"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "300000 100000"}
    root, threads = machine(4, threads=2, files=files), torch_has(start)
    assert choose(None, root) == threads[-1] == 3


def test_the_chosen_number_is_kept(machine: Machine, torch_has):
    root, threads = machine(4, threads=2), torch_has(8)
    choose(8, root)
    assert [choose(None, root), choose(2, root), choose(None, root)] == [8, 2, 2]
    torch.set_num_threads(4)
    assert choose(None, root) == 4
    assert threads == [8, 8, 2, 4]


def test_a_number_set_by_the_program_is_kept(machine: Machine, torch_has, monkeypatch: pytest.MonkeyPatch):
    root, threads = machine(4, threads=2), torch_has(3)
    assert choose(None, root) == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "6")
    assert choose(None, root) == 3
    assert threads == [3]


@pytest.mark.parametrize(("named", "want"), [("6", 6), ("2,4", 2), (" 3 ", 3), ("", 4), ("0", 4), ("many", 4), ("-2", 4)])
def test_the_environment_takes_precedence_over_the_cores(
    machine: Machine, torch_has, monkeypatch: pytest.MonkeyPatch, named: str, want: int
):
    root = machine(4, threads=2)
    monkeypatch.setenv("OMP_NUM_THREADS", named)
    for start in (8, want):  # the variable is set after PyTorch was imported, or before
        threads = torch_has(start)
        assert choose(None, root) == threads[-1] == want


def test_a_model_is_loaded_with_the_requested_threads(tiny_folder: Path):
    load_model(tiny_folder, network_class, wrap, threads=2)
    assert torch.get_num_threads() == 2
    chainrule.load(tiny_folder)
    assert torch.get_num_threads() == 2
    with pytest.raises(ModelError, match="threads"):
        load_model(tiny_folder, network_class, wrap, threads=0)
