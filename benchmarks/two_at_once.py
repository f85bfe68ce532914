"""Two runs at once on a small machine, for several ways in which idle threads wait. The ways alternate, round by round.

python benchmarks/two_at_once.py [--rounds 5] [--texts 60]

Each way has two processes with the model loaded, and every round times the same texts in one of them, in both at once, and
in one with a single thread. The first way is the default of the OpenMP runtime in PyTorch's wheels for Linux (libgomp).
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import machine

HERE = Path(__file__).resolve().parent
WAYS = {
    "300,000 turns, then asleep (libgomp's default)": {"GOMP_SPINCOUNT": "300000"},
    "10,000 turns, then asleep": {"GOMP_SPINCOUNT": "10000"},
    "asleep at once (OMP_WAIT_POLICY=PASSIVE)": {"OMP_WAIT_POLICY": "PASSIVE"},
}
CASES = ("one", "two at once", "one, with a single thread")
WORKER = """
import json, sys, time
import torch, chainrule
texts = [json.loads(line)["text"] for line in open(sys.argv[1], encoding="utf-8")][: int(sys.argv[2])]
lm = chainrule.load()
default = torch.get_num_threads()
print(default, flush=True)
for line in sys.stdin:
    torch.set_num_threads(int(line) or default)
    began = time.perf_counter()
    lm.score_batch(texts)
    print(time.perf_counter() - began, flush=True)
"""


def started(way: str, texts: int) -> subprocess.Popen[str]:
    """A process with the model, which scores the texts on request."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "KMP_"))}
    command = [sys.executable, "-c", WORKER, str(HERE / "data" / "fortunes-500.jsonl"), str(texts)]
    return subprocess.Popen(command, env=own | WAYS[way], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def timed(workers: list[subprocess.Popen[str]], threads: int = 0) -> float:
    """Seconds until all of these processes have scored the texts. threads: 0: the default."""
    for worker in workers:
        print(threads, file=worker.stdin, flush=True)
    return max(float(worker.stdout.readline()) for worker in workers)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--texts", type=int, default=60)
    arguments = parser.parse_args()
    about = machine.describe()
    workers = {way: [started(way, arguments.texts) for _ in range(2)] for way in WAYS}
    threads = {int(worker.stdout.readline()) for pair in workers.values() for worker in pair}
    for pair in workers.values():
        timed(pair)  # the first run compiles and tries products
    runs: dict[str, dict[str, list[float]]] = {way: {case: [] for case in CASES} for way in WAYS}
    for turn in range(arguments.rounds):
        for way in list(WAYS)[:: 1 if turn % 2 else -1]:
            pair = workers[way]
            for case, seconds in zip(CASES, (timed(pair[:1]), timed(pair), timed(pair[:1], 1)), strict=True):
                runs[way][case].append(seconds)
    for pair in workers.values():
        for worker in pair:
            worker.stdin.close()
            worker.wait()
    for way, cases in runs.items():
        print(way, *(f"{case}: {statistics.median(seconds):.2f} s" for case, seconds in cases.items()), sep="\n    ")
    command = f"python benchmarks/two_at_once.py --rounds {arguments.rounds} --texts {arguments.texts}"
    kept = {
        "command": command,
        "date": str(datetime.date.today()),
        "threads": sorted(threads),
        "seconds": runs,
        "machine": about,
    }
    target = HERE / "results" / f"two-at-once-{datetime.date.today()}.json"
    target.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
