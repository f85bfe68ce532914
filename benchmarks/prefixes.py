"""Texts with a common beginning in one call, in calls with kept prefixes, and in calls without. All ways alternate.

python benchmarks/prefixes.py [--rounds 3] [--texts 320] [--call 20] [--prefix 500] [--cases one four nothing]

The cases: one beginning for all texts, four beginnings mixed at random, and short texts with nothing in common.
"""

from __future__ import annotations

import argparse
import datetime
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import machine
import numpy as np
import torch
from texts import book

import chainrule

HERE = Path(__file__).resolve().parent
CASES = {"one": 1, "four": 4, "nothing": 0}
WAYS = ("one call", "calls with kept prefixes", "calls without")


def texts_of(ids: np.ndarray, beginnings: int, count: int, prefix: int) -> list[list[int]]:
    """Texts of 20 to 40 tokens of their own, each after one of so many beginnings; 0: after none."""
    draw = np.random.default_rng(beginnings)
    starts = draw.integers(0, len(ids) - prefix, max(1, beginnings))
    own = [ids[at : at + draw.integers(20, 41)] for at in draw.integers(0, len(ids) - 40, count)]
    chosen = draw.integers(0, max(1, beginnings), count)
    return [
        [*ids[starts[c] : starts[c] + prefix * (beginnings > 0)].tolist(), *o.tolist()]
        for c, o in zip(chosen, own, strict=True)
    ]


def seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def successive(lm: chainrule.LanguageModel, texts: list[list[int]], size: int, memory: int) -> None:
    lm.cache_prefixes(memory)
    for first in range(0, len(texts), size):
        lm.score_batch(texts[first : first + size], top=1)


def in_one(lm: chainrule.LanguageModel, texts: list[list[int]]) -> None:
    lm.cache_prefixes(0)
    lm.score_batch(texts, top=1)


def compare(lm: chainrule.LanguageModel, texts: list[list[int]], size: int, rounds: int) -> dict[str, list[float]]:
    """Seconds of each way, round by round."""
    ways = {
        WAYS[0]: lambda: in_one(lm, texts),
        WAYS[1]: lambda: successive(lm, texts, size, 1 << 30),
        WAYS[2]: lambda: successive(lm, texts, size, 0),
    }
    lm.score_batch(texts[:4])  # warm-up
    runs: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(rounds):
        for way in list(ways)[:: 1 if turn % 2 else -1]:
            runs[way].append(seconds(ways[way]))
    return runs


def shown(case: str, runs: dict[str, list[float]]) -> dict[str, object]:
    """One line for the terminal: medians, and the speed of calls with kept prefixes relative to the other ways."""
    kept = runs[WAYS[1]]
    ratios = {way: [a / b for a, b in zip(runs[way], kept, strict=True)] for way in (WAYS[0], WAYS[2])}
    times = ", ".join(f"{way} {statistics.median(runs[way]):.2f} s" for way in WAYS)
    against = ", ".join(f"{statistics.median(r):.3f} [{min(r):.3f} – {max(r):.3f}] of {way}" for way, r in ratios.items())
    print(f"{case}: {times}; speed with kept prefixes: {against}", flush=True)
    return {"seconds": runs, "ratios": ratios}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--texts", type=int, default=320)
    parser.add_argument("--call", type=int, default=20, help="texts of a call")
    parser.add_argument("--prefix", type=int, default=500, help="tokens of a beginning")
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=CASES)
    parser.add_argument("--model", default="smollm2-135m")
    arguments = parser.parse_args()
    about, lm = machine.describe(), chainrule.load(arguments.model)
    ids = np.array(lm.tokenizer.encode(book()[:200_000]))
    cases = {}
    for case in arguments.cases:
        texts = texts_of(ids, CASES[case], arguments.texts, arguments.prefix)
        cases[case] = shown(case, compare(lm, texts, arguments.call, arguments.rounds))
    run = {"command": "python benchmarks/prefixes.py", "date": str(datetime.date.today()), **vars(arguments)}
    run |= {"threads": torch.get_num_threads(), "torch": torch.__version__, "results": cases, "machine": about}
    target = HERE / "results" / f"prefixes-{datetime.date.today()}.json"
    target.write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")
    print(f"written to {target.relative_to(HERE.parent)}")


if __name__ == "__main__":
    main()
