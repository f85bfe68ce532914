"""Concurrent calls: every number has the bits that a single thread computes. `scripts/stress.py threads` runs more of them."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import snapshots
import thread_trial
from model_kinds import KINDS, NETWORKS, all_numbers, network, numbers, same_bits, second_model

STRESS = Path(__file__).resolve().parent.parent / "scripts" / "stress.py"
FORKED = """
import os, signal, sys, time, warnings
warnings.simplefilter("ignore")
sys.path.insert(0, {tests!r})
import torch
torch.set_num_threads({threads})
from model_kinds import KINDS, numbers, same_bits
lm = KINDS["wide"].make()
text = [7, 8, 9] * 20
before = numbers(lm.score_batch([text, text[1:]]))
torch.randn(600, 600) @ torch.randn(600, 600)
if not (child := os.fork()):
    os._exit(0 if same_bits(before, numbers(lm.score_batch([text, text[1:]]))) else 1)
until = time.monotonic() + {seconds}
while not (done := os.waitpid(child, os.WNOHANG))[0] and time.monotonic() < until:
    time.sleep(0.05)
if not done[0]:
    os.kill(child, signal.SIGKILL)
print(os.waitstatus_to_exitcode(done[1]) if done[0] else "hangs", same_bits(before, numbers(lm.score_batch([text, text[1:]]))))
"""


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Restores the state of the process, so that one failure does not cause others."""
    before = snapshots.process()
    yield
    snapshots.restore(before)


@pytest.mark.parametrize("kind", KINDS)
def test_eight_threads_have_the_bits_of_one(kind: str):
    calls = 240 if kind == "own head" else 64
    tally = thread_trial.trial(kind, calls, fresh=2)
    assert tally.calls == calls
    assert tally.passed, str(tally)


@pytest.mark.parametrize("kind", ["forest", "own head", "batch", "masked", "any-order"])
def test_two_models_of_one_network_in_several_threads(kind: str):
    tally = thread_trial.trial(f"second {kind}", 64, fresh=1)
    assert tally.passed, str(tally)


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_second_model_does_not_change_the_network_or_the_first_model(kind: str):
    lm, calls = KINDS[kind].make(), KINDS[kind].calls
    before, state = all_numbers(lm, calls), snapshots.network(network(lm))
    assert same_bits(all_numbers(second_model(lm), calls), before)
    assert snapshots.differences(state, snapshots.network(network(lm))) == []
    assert same_bits(all_numbers(second_model(lm, deep=False), calls), before)
    assert same_bits(all_numbers(lm, calls), before)


@pytest.mark.usefixtures("without_kernels")
def test_models_of_float32_and_bfloat16_at_once():
    """Products of bfloat16 weights do not change products of other threads, or settings of the process."""
    tally = thread_trial.trial("float32 and bfloat16", 96, fresh=1)
    assert tally.passed, str(tally)


def test_verify_and_score_at_once():
    tally = thread_trial.trial("verifying", 24, fresh=1)
    assert tally.passed, str(tally)


def test_all_kinds_at_once_in_tasks():
    tally = thread_trial.trial("everything", 96, fresh=1, tasks=True)
    assert tally.passed, str(tally)


def test_two_tasks_on_one_thread_do_not_affect_each_other():
    """The calls of the tasks alternate. Each ends before the other task continues, so no context variable is shared."""
    lm = KINDS["forest"].make()
    wanted = {name: numbers(call(lm)) for name, call in KINDS["forest"].calls.items()}

    async def work() -> list[bool]:
        equal = []
        for name, call in KINDS["forest"].calls.items():
            equal.append(same_bits(numbers(call(lm)), wanted[name]))
            await asyncio.sleep(0)
        return equal

    async def both() -> list[list[bool]]:
        return await asyncio.gather(work(), work())

    assert all(map(all, asyncio.run(both())))


def test_load_and_score_at_once(tmp_path: Path):
    """Runs in its own process: a default dtype that changes during a call can corrupt memory."""
    out = tmp_path / "result.json"
    command = [sys.executable, str(STRESS), "threads", "--kinds", "loading", "--calls", "400", "--seconds", "60"]
    done = subprocess.run([*command, "--out", str(out)], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert json.loads(out.read_text())["kinds"]["loading"]["calls"] >= 40


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.parametrize(("threads", "seconds"), [(1, 60), (2, 2)])
def test_a_forked_child_has_the_same_bits_or_hangs(threads: int, seconds: int):
    """With several OpenMP threads, the child waits for threads that the fork did not copy. PyTorch's own products hang too."""
    program = FORKED.format(tests=str(STRESS.parent.parent / "tests"), threads=threads, seconds=seconds)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() in (["0 True"] if threads == 1 else ["0 True", "hangs True"]), done.stdout + done.stderr[-500:]
