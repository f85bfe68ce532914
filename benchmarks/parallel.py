"""Threads with chunks of their own beside threads within operations, idle and beside a process that uses one core.

python benchmarks/parallel.py [--dtype float32] [--pairs 5] [--cases short,single,long,mixed]

Both ways alternate within one process: the second is forced by hiding that threads can be limited one by one. Their bits are
compared as well.
"""

from __future__ import annotations

import argparse
import datetime
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import machine
import numpy as np
from texts import book, fortunes

import chainrule
from chainrule.ops import workers

HERE = Path(__file__).resolve().parent
BUSY = "import numpy as np\nx = np.random.rand(1000, 1000)\nwhile True: x @ x"


def cases(lm: chainrule.LanguageModel, texts: int) -> dict[str, list[Any]]:
    """Texts by case: short, single (one of 2,000 tokens), long (several of 2,000 tokens) and mixed."""
    ids = lm.tokenizer.encode(book()).tolist()
    long = [ids[2000 * n : 2000 * (n + 1)] for n in range(texts // 40)]
    short = fortunes()[:texts]
    return {
        "short": short,
        "single": long[:1],
        "long": long,
        "mixed": [*lm.tokenizer.encode_batch(short[: texts // 2]), *long[: len(long) // 2]],
    }


def timed(lm: chainrule.LanguageModel, texts: list[Any], *, parts: bool) -> tuple[float, float, np.ndarray]:
    """Seconds, processor seconds and log probabilities of one call."""
    own = workers.available
    workers.available = own if parts else lambda: False
    try:
        began, used = time.perf_counter(), time.process_time()
        scores = lm.score_batch(texts)
        seconds = time.perf_counter() - began, time.process_time() - used
    finally:
        workers.available = own
    return *seconds, np.concatenate([score.logprobs for score in scores])


def compared(lm: chainrule.LanguageModel, texts: list[Any], pairs: int) -> dict[str, Any]:
    """Both ways in turn: seconds of each, and the ratio of each pair."""
    rounds = []
    for pair in range(pairs):
        both = {parts: timed(lm, texts, parts=parts) for parts in ((True, False) if pair % 2 else (False, True))}
        rounds.append((*both[True][:2], *both[False][:2], bool(np.array_equal(both[True][2], both[False][2]))))
    tokens = len(both[True][2])
    ratios = [within / parts for parts, _, within, _, _ in rounds]
    return {
        "tokens": tokens,
        "parts_tokens_per_second": round(tokens / statistics.median(r[0] for r in rounds)),
        "operations_tokens_per_second": round(tokens / statistics.median(r[2] for r in rounds)),
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
        "processor_seconds_ratio": round(statistics.median(r[3] / r[1] for r in rounds), 3),
        "same_bits": all(r[4] for r in rounds),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--texts", type=int, default=120)
    parser.add_argument("--cases", default="short,single,long,mixed")
    arguments = parser.parse_args()
    lm = chainrule.load(dtype=arguments.dtype)
    report: dict[str, Any] = {"machine": machine.describe(), "dtype": arguments.dtype, "pairs": arguments.pairs, "results": {}}
    texts = cases(lm, arguments.texts)
    for name in arguments.cases.split(","):
        timed(lm, texts[name][:3], parts=True)
        for state in ("idle", "one busy process"):
            busy = subprocess.Popen([sys.executable, "-c", BUSY], env={"OMP_NUM_THREADS": "1"}) if state != "idle" else None
            try:
                result = compared(lm, texts[name], arguments.pairs)
            finally:
                if busy is not None:
                    busy.kill()
                    busy.wait()
            report["results"][f"{name}, {state}"] = result
            print(f"{name}, {state}: {json.dumps(result)}", flush=True)
    path = HERE / "results" / f"parallel-{arguments.dtype}-{datetime.date.today()}.json"
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
