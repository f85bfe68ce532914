"""Many threads at a time: every number has the bits that one thread alone gets. `scripts/stress.py threads` tries it longer."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import crowd
import pytest
import snapshots
from kinds import KINDS, NETWORKS, another, everything, network, numbers, same

STRESS = Path(__file__).resolve().parent.parent / "scripts" / "stress.py"
FORKED = """
import os, signal, sys, time, warnings
warnings.simplefilter("ignore")
sys.path.insert(0, {tests!r})
import torch
torch.set_num_threads({threads})
from kinds import KINDS, numbers, same
lm = KINDS["wide"].make()
text = [7, 8, 9] * 20
before = numbers(lm.score_batch([text, text[1:]]))
torch.randn(600, 600) @ torch.randn(600, 600)
if not (child := os.fork()):
    os._exit(0 if same(before, numbers(lm.score_batch([text, text[1:]]))) else 1)
until = time.monotonic() + {seconds}
while not (done := os.waitpid(child, os.WNOHANG))[0] and time.monotonic() < until:
    time.sleep(0.05)
if not done[0]:
    os.kill(child, signal.SIGKILL)
print(os.waitstatus_to_exitcode(done[1]) if done[0] else "hangs", same(before, numbers(lm.score_batch([text, text[1:]]))))
"""


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """What one trial leaves in the process does not fail the next one."""
    before = snapshots.process()
    yield
    snapshots.restore(before)


@pytest.mark.parametrize("kind", KINDS)
def test_eight_threads_get_the_bits_of_one(kind: str):
    calls = 320 if kind == "own head" else 96
    found = crowd.trial(kind, calls, fresh=2)
    assert found.calls == calls
    assert found.passed, str(found)


@pytest.mark.parametrize("kind", ["forest", "own head", "batch", "masked", "any-order"])
def test_a_second_model_of_the_same_network_beside_the_first(kind: str):
    found = crowd.trial(f"second {kind}", 64, fresh=1)
    assert found.passed, str(found)


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_second_model_leaves_the_network_and_the_first_as_they_were(kind: str):
    lm, asks = KINDS[kind].make(), KINDS[kind].asks
    before, state = everything(lm, asks), snapshots.network(network(lm))
    assert same(everything(another(lm), asks), before)
    assert snapshots.differences(state, snapshots.network(network(lm))) == []
    assert same(everything(another(lm, deep=False), asks), before)
    assert same(everything(lm, asks), before)


@pytest.mark.usefixtures("plain")
def test_float32_beside_bfloat16():
    """Products of bfloat16 weights must not change those of others, nor what the process is set to."""
    found = crowd.trial("float32 and bfloat16", 96, fresh=1)
    assert found.passed, str(found)


def test_verifying_beside_scoring():
    found = crowd.trial("verifying", 40, fresh=1)
    assert found.passed, str(found)


def test_all_kinds_at_once_in_tasks():
    found = crowd.trial("everything", 160, fresh=1, tasks=True)
    assert found.passed, str(found)


def test_a_task_sees_nothing_of_another():
    """Two tasks on one thread: each call is over before the other task's begins, whatever its context holds."""
    lm = KINDS["forest"].make()
    wanted = {name: numbers(ask(lm)) for name, ask in KINDS["forest"].asks.items()}

    async def work() -> list[bool]:
        found = []
        for name, ask in KINDS["forest"].asks.items():
            found.append(same(numbers(ask(lm)), wanted[name]))
            await asyncio.sleep(0)
        return found

    async def both() -> list[list[bool]]:
        return await asyncio.gather(work(), work())

    assert all(map(all, asyncio.run(both())))


def test_loading_beside_scoring(tmp_path: Path):
    """In a process of its own: while types of the process are changed in the midst of a call, memory is not safe."""
    out = tmp_path / "found.json"
    command = [sys.executable, str(STRESS), "threads", "--kinds", "loading", "--calls", "400", "--seconds", "60"]
    done = subprocess.run([*command, "--out", str(out)], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert json.loads(out.read_text())["kinds"]["loading"]["calls"] >= 40


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.parametrize(("threads", "seconds"), [(1, 60), (2, 2)])
def test_after_a_fork_the_child_has_the_same_bits_or_none(threads: int, seconds: int):
    """With several threads of OpenMP the child waits for those that were not copied: PyTorch's own products do, too."""
    program = FORKED.format(tests=str(STRESS.parent.parent / "tests"), threads=threads, seconds=seconds)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() in (["0 True"] if threads == 1 else ["0 True", "hangs True"]), done.stdout + done.stderr[-500:]
