"""Workers as processes: the same bits with any number of them, also if they or the run are killed."""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
from corpora import kill_at_random, leftovers, rows_of, start, write_corpus

import chainrule
from chainrule.errors import InputError, ModelError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals")


@pytest.fixture(scope="module")
def files(tmp_path_factory, fortunes):
    return write_corpus(tmp_path_factory.mktemp("corpus"), [f"{n}. {text[:100]}" for n in range(2) for text in fortunes])


@pytest.fixture(scope="module")
def expected(tmp_path_factory, tiny, files):
    """The rows by one model in this process, in large parts."""
    out = tmp_path_factory.mktemp("expected")
    chainrule.score_corpus(files, out, tiny, keep="all", per="both", part_size=20_000)
    return rows_of(out)


def arguments(files, folder, out, workers, *more):
    own = ["--model", str(folder), "--keep", "all", "--per", "both", "--part-size", "3000", "--workers", str(workers)]
    return ["corpus", *files, "-o", str(out), *own, *more]


@pytest.mark.parametrize("workers", [1, 3])
def test_the_same_bits_with_any_number_of_workers(tiny_folder, files, expected, tmp_path, workers):
    said = []
    options = {"keep": "all", "per": "both", "part_size": 3000, "workers": workers, "say": said.append}
    corpus = chainrule.score_corpus(files, tmp_path / "out", tiny_folder, **options)
    assert rows_of(tmp_path / "out").equals(expected)
    assert (corpus.documents, corpus.failed) == (1000, 2)
    assert said[0].startswith(f"{workers} worker")


def test_killed_runs_give_the_rows_of_an_unbroken_one(tiny_folder, files, expected, tmp_path):
    rng, out = random.Random(int(os.environ.get("PYTEST_XDIST_TESTRUNUID", "1")[:4], 36)), tmp_path / "out"
    for workers in (2, 1):
        kill_at_random(arguments(files, tiny_folder, out, workers), out, 8.0, 30, rng)
    process = start(arguments(files, tiny_folder, out, 2))
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 1, errors
    assert "1,000 documents, of which 2 could not be scored (the first: line 1 of " in output
    assert rows_of(out).equals(expected)
    assert leftovers(out) == []


def test_a_worker_that_is_killed_is_replaced(tiny_folder, files, expected, tmp_path):
    out, killed, said = tmp_path / "out", [], []

    def kill() -> None:
        while len(list(out.glob("part-*"))) < 2:
            time.sleep(0.005)
        children = Path(f"/proc/{os.getpid()}/task").glob("*/children")
        workers = [int(pid) for each in children for pid in each.read_text().split()]
        own = [pid for pid in workers if b"workers.process" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        os.kill(own[0], signal.SIGKILL)
        killed.append(own[0])

    thread = threading.Thread(target=kill)
    thread.start()
    options = {"keep": "all", "per": "both", "part_size": 1000, "workers": 1, "say": said.append}
    chainrule.score_corpus(files, out, tiny_folder, **options)
    thread.join()
    assert killed
    assert any("was killed by signal 9, as when memory is short; another one takes its place" in line for line in said)
    assert rows_of(out).equals(expected)


def test_a_part_that_kills_two_workers_ends_the_run(tiny_folder, tmp_path, monkeypatch):
    from chainrule.corpus.workers import processes

    def call(self, method, *arguments):
        own(self, method, *arguments)
        if method == "score":
            os.kill(self.pid, signal.SIGKILL)

    own = processes.Process.call
    monkeypatch.setattr(processes.Process, "call", call)
    (tmp_path / "a.txt").write_text("one\ntwo\n")
    with pytest.raises(
        ModelError, match=r"two workers ended while they scored part-00000-0000.parquet: the last one was killed"
    ):
        chainrule.score_corpus([tmp_path / "a.txt"], tmp_path / "out", tiny_folder, workers=1, say=lambda _: None)


def test_the_first_interrupt_finishes_the_parts_in_hand(tiny_folder, files, expected, tmp_path):
    out = tmp_path / "out"
    process = start(arguments(files, tiny_folder, out, 2))
    while not list(out.glob("part-*")) and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    errors = process.communicate(timeout=60)[1]
    assert process.returncode == 130, errors
    assert "stopping when the parts in hand are finished; once more stops now" in errors
    done = rows_of(out).num_rows
    assert errors.endswith(
        f"chainrule: {done} documents are done; the same command goes on from there\nchainrule: interrupted\n"
    )
    assert 0 < done < 1000
    process = start(arguments(files, tiny_folder, out, 1))
    assert process.wait(timeout=120) == 1
    assert rows_of(out).equals(expected)


def test_a_second_interrupt_stops_at_once(tiny_folder, files, tmp_path):
    out = tmp_path / "out"
    process = start(arguments(files, tiny_folder, out, 1))
    while not list(out.glob("part-*")) and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    errors = process.communicate(timeout=30)[1]
    assert process.returncode == 128 + signal.SIGTERM, errors
    assert leftovers(out) == []


def test_workers_end_with_their_run(tiny_folder, files, tmp_path):
    from corpora import workers_of

    process = start(arguments(files, tiny_folder, tmp_path / "out", 1))
    while not (workers := workers_of(process)) and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    process.communicate()
    until = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < until:
        time.sleep(0.05)
    assert [pid for pid in workers if Path(f"/proc/{pid}").exists()] == []


def test_errors_of_workers_come_back(tiny_folder, files, tmp_path):
    with pytest.raises(ModelError, match="nowhere"):
        chainrule.score_corpus(files, tmp_path / "out", "nowhere/at-all", workers=1)
    with pytest.raises(InputError, match="window 99 is longer than the model's own context of 64"):
        chainrule.score_corpus(files, tmp_path / "out", tiny_folder, workers=1, window=99)
    assert not (tmp_path / "out" / "_manifest.json").exists()


def test_warnings_of_workers_are_said_once(tiny_folder, tmp_path):
    (tmp_path / "a.txt").write_text("<s>\n<s> a\n" * 20)
    said = []
    options = {"special": "parse", "workers": 2, "part_size": 50, "say": said.append}
    chainrule.score_corpus([tmp_path / "a.txt"], tmp_path / "out", tiny_folder, **options)
    assert len([line for line in said if "begin with the start symbol" in line]) == 1


def test_modules_in_the_current_folder_are_not_imported(tiny_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("pickle", "queue", "numpy", "chainrule"):
        Path(f"{name}.py").write_text("raise SystemExit('imported')\n")
    Path("a.txt").write_text("one\ntwo\n")
    options = {"workers": 1, "say": lambda _: None}
    assert chainrule.score_corpus("a.txt", "out", str(tiny_folder), **options).documents == 2
