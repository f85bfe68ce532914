"""The speed of two versions of chainrule, as a ratio. They alternate, each round in new processes.

git worktree add ../before COMMIT
python benchmarks/before_after.py ../before [--rounds 5] [--dtype float32]
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import statistics
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).resolve().parent
FLAT, LENGTH = 100, 48  # short texts; tokens of one greedy text


def measure(dtype: str) -> None:
    """Load time, tokens/s of flat texts and of few rows (one greedy text), and short texts/s, in this process."""
    import machine
    from texts import fortunes

    import chainrule

    began = time.perf_counter()
    lm = chainrule.load(dtype=dtype)
    times = {"load_s": time.perf_counter() - began}
    texts = fortunes()[:FLAT]
    lm.score_batch(texts[:10])
    began = time.perf_counter()
    tokens = len(lm.score_batch(texts).logprobs)
    times["flat"] = tokens / (time.perf_counter() - began)
    name = "max_tokens" if find_spec("chainrule.generation") else "length"  # versions before the option was renamed
    lm.generate("The capital", **{name: 4}, end=False)
    began = time.perf_counter()
    lm.generate("The capital of France is", **{name: LENGTH}, end=False)
    times["few_rows"] = LENGTH / (time.perf_counter() - began)
    lm.score(texts[0][:40])  # the trials of the first call are not measured
    began = time.perf_counter()
    for text in texts[:20]:
        lm.score(text[:40])
    times["single"] = 20 / (time.perf_counter() - began)
    print(json.dumps(times | {"machine": machine.describe()}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", nargs="?", type=Path, help="a checkout of the version before")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dtype", default="float32")
    arguments = parser.parse_args()
    if arguments.before is None:
        measure(arguments.dtype)
        return
    sources = {"before": arguments.before.resolve() / "src", "after": HERE.parent / "src"}
    runs: dict[str, list[dict]] = {name: [] for name in sources}
    for turn in range(arguments.rounds):
        for name in list(sources)[:: 1 if turn % 2 else -1]:
            command = [sys.executable, __file__, "--dtype", arguments.dtype]
            environment = os.environ | {"PYTHONPATH": str(sources[name])}
            done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
            runs[name].append(json.loads(done.stdout.splitlines()[-1]))
    about = runs["after"][0].pop("machine")
    ratios = {
        key: [after[key] / before[key] for before, after in zip(runs["before"], runs["after"], strict=True)]
        for key in runs["after"][0]
    }
    for key, each in ratios.items():
        print(f"{key:10} {statistics.median(each):.3f} [{min(each):.3f} – {max(each):.3f}] of before")
    for run in (*runs["before"], *runs["after"][1:]):
        run.pop("machine")
    kept = {"command": f"python benchmarks/before_after.py BEFORE --rounds {arguments.rounds} --dtype {arguments.dtype}"}
    kept |= {"date": str(datetime.date.today()), "ratios": ratios, "runs": runs, "machine": about}
    target = HERE / "results" / f"before-after-{arguments.dtype}-{datetime.date.today()}.json"
    target.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
