"""Two versions of chainrule in turn, each round in fresh processes: what a change cost, as a ratio.

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
from pathlib import Path

HERE = Path(__file__).resolve().parent
FLAT, LENGTH = 100, 48  # short texts; tokens that one greedy text grows by


def measure(dtype: str) -> None:
    """Tokens a second of flat texts, of few rows (one greedy text), and what loading takes, in this process."""
    import machine
    from texts import fortunes

    import chainrule

    began = time.perf_counter()
    lm = chainrule.load(dtype=dtype)
    found = {"load_s": time.perf_counter() - began}
    texts = fortunes()[:FLAT]
    lm.score_batch(texts[:10])
    began = time.perf_counter()
    tokens = len(lm.score_batch(texts).logprobs)
    found["flat"] = tokens / (time.perf_counter() - began)
    lm.generate("The capital", max_tokens=4, end=False)
    began = time.perf_counter()
    lm.generate("The capital of France is", max_tokens=LENGTH, end=False)
    found["few_rows"] = LENGTH / (time.perf_counter() - began)
    lm.score(texts[0][:40])  # what is tried out at the first call belongs to none of these
    began = time.perf_counter()
    for text in texts[:20]:
        lm.score(text[:40])
    found["single"] = 20 / (time.perf_counter() - began)
    print(json.dumps(found | {"machine": machine.describe()}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", nargs="?", type=Path, help="a checkout of the version before")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dtype", default="float32")
    given = parser.parse_args()
    if given.before is None:
        measure(given.dtype)
        return
    sources = {"before": given.before.resolve() / "src", "after": HERE.parent / "src"}
    runs: dict[str, list[dict]] = {name: [] for name in sources}
    for turn in range(given.rounds):
        for name in list(sources)[:: 1 if turn % 2 else -1]:
            command = [sys.executable, __file__, "--dtype", given.dtype]
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
    kept = {"command": f"python benchmarks/before_after.py BEFORE --rounds {given.rounds} --dtype {given.dtype}"}
    kept |= {"date": str(datetime.date.today()), "ratios": ratios, "runs": runs, "machine": about}
    target = HERE / "results" / f"before-after-{given.dtype}-{datetime.date.today()}.json"
    target.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
