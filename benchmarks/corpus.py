"""Time and memory of chainrule corpus, beside score_batch in one process, and of many workers beside few.

    .venv/bin/python benchmarks/corpus.py million     # 10^6 short documents, a tiny model: 12 minutes
    .venv/bin/python benchmarks/corpus.py workers     # SmolLM2: 2 workers of 1 thread, 1 of 2; idle and busy: 12 minutes
    .venv/bin/python benchmarks/corpus.py fortunes /usr/share/games/fortunes [--python PYTHON]    # 20 minutes

Measurements that are compared take turns. `million` scores all documents with the command line, twice, and 10^5 of them with
`score_batch`, 10^4 at a time and all at once, before, between and after. Memory is that of all processes, every half second;
pages that several map are counted once. `busy`: beside a process that computes without end. `fortunes` scores a sample with the
command line, `score_batch` and lm-evaluation-harness in turn (PYTHON: an interpreter that has it), then all texts with the
command line. Exit code 1: a run failed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

from machine import describe
from texts import book

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from tiny_llama import save_tiny_llama  # noqa: E402

import chainrule  # noqa: E402
from chainrule.corpus.progress import memory  # noqa: E402
from chainrule.models.locate import locate  # noqa: E402
from chainrule.models.threads import available  # noqa: E402

PROGRAM = [sys.executable, "-c", "from chainrule.program import main; main()", "corpus"]
SPIN = "x = 1\nwhile True:\n    x = x * 3 % 1000003"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trial", choices=["million", "workers", "fortunes"])
    parser.add_argument("texts", nargs="?", type=Path, help="fortunes: the folder of Debian's package fortunes")
    parser.add_argument("--documents", type=int, default=1_000_000, help="of million")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sample", type=int, default=300, help="of fortunes")
    parser.add_argument("--python", help="an interpreter that has lm_eval")
    parser.add_argument("--output", type=Path, help="a file for the measurements, as JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="corpus-") as scratch:
        found = {"million": million, "workers": workers, "fortunes": fortunes}[arguments.trial](Path(scratch), arguments)
    result = {"date": date.today().isoformat(), "machine": describe(), "trial": arguments.trial, **found}
    print(json.dumps(found, indent=1))
    if arguments.output is not None:
        arguments.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def million(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Documents in a second: the command, with its start, and score_batch, without reading and writing."""
    save_tiny_llama(folder / "model")
    texts = list(short_texts(arguments.documents))
    write_lines(folder / "texts.jsonl", texts)
    sample, lm = texts[: len(texts) // 10], chainrule.load(folder / "model")
    batches: dict[str, list[float]] = {"score_batch, 10^4 at a time": [], "score_batch, all at once": []}
    runs = []

    def batch() -> None:
        for name, size in zip(batches, (10_000, len(sample)), strict=True):
            seconds = timed(
                lambda size=size: [lm.score_batch(sample[i : i + size]).logprob for i in range(0, len(sample), size)]
            )
            batches[name].append(len(sample) / seconds)

    for number in range(2):
        batch()
        runs.append(run(folder, f"out-{number}", "--model", str(folder / "model"), "--id", "id"))
    batch()
    speeds = [len(texts) / each["seconds"] for each in runs]
    middle = {name: statistics.median(each) for name, each in batches.items()}
    return {
        "documents": len(texts),
        "documents_per_second": {"corpus": speeds, **batches},
        "ratio": {name: statistics.median(speeds) / each for name, each in middle.items()},
        "runs": runs,
    }


def workers(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Seconds of the same documents with two workers of one thread and one of two, in turn, without their start."""
    texts = [text for text in book().split("\n\n") if len(text) > 200][:120]
    write_lines(folder / "texts.jsonl", texts)
    ways = {"2 workers of 1 thread": "2", "1 worker of 2 threads": "1"}
    found: dict[str, Any] = {}
    for state in ("idle", "busy"):
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(arguments.rounds):
            with busy() if state == "busy" else idle():
                for name, count in ways.items():
                    out = f"{state}-{number}-{count}"
                    seconds[name].append(run(folder, out, "--workers", count, "--part-size", "8192")["scoring"])
        few, many = seconds.values()
        found[state] = {"seconds": seconds, "ratio": [one / two for two, one in zip(few, many, strict=True)]}
    return {"documents": len(texts), "characters": sum(map(len, texts)), **found}


def fortunes(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Seconds of a sample by three programs in turn, and of all texts by the command."""
    files = sorted(file for file in arguments.texts.iterdir() if file.is_file() and not file.suffix and not file.is_symlink())
    each = (text.strip() for file in files for text in file.read_text("utf-8", "replace").split("\n%\n"))
    texts = list(filter(None, each))
    sample = random.Random(0).sample(texts, arguments.sample)
    write_lines(folder / "texts.jsonl", sample)
    lm = chainrule.load()
    seconds: dict[str, list[float]] = {"corpus": [], "score_batch": []}
    sums: dict[str, float] = {}
    with harness(arguments.python) as ask:
        for number in range(arguments.rounds):
            seconds["corpus"].append(run(folder, f"out-{number}", "--workers", "1")["scoring"])
            began = time.monotonic()
            sums["score_batch"] = float(lm.score_batch(sample).logprob.sum())
            seconds["score_batch"].append(time.monotonic() - began)
            if ask is not None:
                answer = ask(sample)
                seconds.setdefault("lm-eval", []).append(answer["seconds"])
                sums["lm-eval"] = sum(answer["logprobs"])
    write_lines(folder / "texts.jsonl", texts)
    whole = run(folder, "whole", expected=(0, 1))
    return {"sample": len(sample), "seconds": seconds, "logprob": sums, "texts": len(texts), "whole": whole}


@contextmanager
def harness(python: str | None) -> Iterator[Callable[[list[str]], dict[str, Any]] | None]:
    """A function that scores texts by loglikelihood_rolling of lm-evaluation-harness; None without its interpreter."""
    if python is None:
        yield None
        return
    model = locate(None).path
    command = [python, "-m", "workers.lm_eval", "--model", str(model), "--threads", str(available())]
    with subprocess.Popen(
        command, cwd=Path(__file__).parent, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()  # the packages

        def ask(texts: list[str]) -> dict[str, Any]:
            print(json.dumps({"method": "rolling", "texts": texts}), file=process.stdin, flush=True)
            return json.loads(process.stdout.readline())

        yield ask
        process.stdin.close()


def run(folder: Path, out: str, *options: str, expected: Sequence[int] = (0,)) -> dict[str, Any]:
    """A run of the command over texts.jsonl: its seconds in all and from the first to the last part, and its memory."""
    began = time.monotonic()
    command = [*PROGRAM, str(folder / "texts.jsonl"), "-o", str(folder / out), *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    used: list[int] = []
    watch = threading.Thread(target=lambda: used.extend(_memory_of(process)))
    watch.start()
    output, errors = process.communicate()
    seconds = time.monotonic() - began
    watch.join()
    if process.returncode not in expected:
        raise SystemExit(f"the run ended with {process.returncode}: {errors[-500:]}")
    parts = sorted(part.stat().st_mtime for part in (folder / out).glob("part-*"))
    loaded = (folder / out / "_manifest.json").stat().st_mtime
    fifths = [used[len(used) * i // 5 : len(used) * (i + 1) // 5] or [0] for i in range(5)]
    return {
        "seconds": seconds,
        "scoring": parts[-1] - loaded,
        "parts": len(parts),
        "said": re.findall(r"chainrule: (\d+ worker.*)", errors),
        "output": output.strip().splitlines()[-1].partition(": ")[2],
        "memory_mib": [max(fifth) >> 20 for fifth in fifths],  # the most in each fifth of the time
    }


def _memory_of(process: subprocess.Popen[str]) -> Iterator[int]:
    while process.poll() is None:
        children = Path(f"/proc/{process.pid}/task").glob("*/children")
        pids = [process.pid]
        for each in children:
            try:
                pids += map(int, each.read_text().split())
            except OSError:
                continue
        yield sum(map(memory, pids))
        time.sleep(0.5)


def short_texts(count: int) -> Iterator[str]:
    """Some words of a book, from random places."""
    rng, words = random.Random(0), book().split()
    for _ in range(count):
        begin = rng.randrange(len(words) - 8)
        yield " ".join(words[begin : begin + rng.randrange(2, 7)])


def write_lines(path: Path, texts: Sequence[str]) -> None:
    path.write_text("".join(json.dumps({"id": str(i), "text": text}) + "\n" for i, text in enumerate(texts)), encoding="utf-8")


def timed(action: Callable[[], Any]) -> float:
    began = time.monotonic()
    action()
    return time.monotonic() - began


@contextmanager
def busy() -> Iterator[None]:
    """Beside a process that computes without end."""
    process = subprocess.Popen([sys.executable, "-c", SPIN])
    try:
        yield
    finally:
        process.kill()
        process.wait()


@contextmanager
def idle() -> Iterator[None]:
    yield


if __name__ == "__main__":
    os.environ.pop("OMP_NUM_THREADS", None)
    main()
