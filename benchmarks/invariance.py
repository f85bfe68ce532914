"""Row invariance: whether a score has the same bits whatever the other sequences in the batch, and the cost of that.

    .venv/bin/python benchmarks/invariance.py               # 100,000 tokens in float32 and in bfloat16: about 15 minutes
    .venv/bin/python benchmarks/invariance.py --tokens 5000 --dtypes float32

The same texts (short ones, pieces of a book of 5 to 3,000 tokens, and continuations that share a long context) are scored
together; then in another order, in small groups and other chunks; then one at a time, so that nothing is shared. The bits of
every factor are compared. Then short texts are scored with row invariance and without it, in alternation. Without it,
products have exactly the rows present, functions are plain, and attention is not padded.
"""

import argparse
import json
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from statistics import median

import numpy as np
from machine import describe, fingerprint
from run import default_model, existing
from texts import book, fortunes

HERE = Path(__file__).resolve().parent
GROUP, ROWS = 37, 512  # texts per group, and contexts per chunk of it
AGAIN, TIMED = 60, 80  # texts that are scored twice, and texts of the speed comparison


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="folder of the model (default: chainrule's own smollm2-135m)")
    parser.add_argument("--tokens", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=4, help="rounds of the speed comparison")
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=HERE / "results" / f"invariance-{date.today().isoformat()}.json")
    arguments = parser.parse_args()
    model = existing(arguments.model or default_model())
    results = {dtype: measure(model, dtype, arguments) for dtype in arguments.dtypes}
    result = {
        "date": date.today().isoformat(),
        "machine": describe(),
        "model": {"name": model.name, "sha256": fingerprint(model)},
        "threads": arguments.threads,
        "dtypes": results,
    }
    arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(results, indent=1))
    if any(part["differing"] for dtype in results.values() for part in dtype["company"].values()):
        raise SystemExit("bits differ")


def measure(model: Path, dtype: str, arguments: argparse.Namespace) -> dict:
    import chainrule
    from chainrule.ops import native

    lm = chainrule.load(str(model), dtype=dtype, threads=arguments.threads)
    ids = sequences(lm, arguments.tokens)
    say(f"{dtype}: {len(ids)} sequences, {sum(map(len, ids)):,} tokens")
    together = factors(lm, [ids])
    comparisons = {
        "again": compare(factors(lm, [ids[:AGAIN]]), factors(lm, [ids[:AGAIN]])),
        "shuffled, in groups": compare(together, regrouped(lm, ids)),
        "one at a time": compare(together, factors(lm, [[one] for one in ids])),
    }
    return {
        "sequences": len(ids),
        "tokens": sum(map(len, ids)),
        "kernels": native.status().reason,
        "promise": [bool(lm.invariant), lm.invariant.reason],
        "company": comparisons,
        "cost": cost(lm, ids[:TIMED], arguments.rounds),
    }


def sequences(lm, tokens: int) -> list[list[int]]:
    """A third short texts, a third pieces of all lengths, a third continuations of shared contexts."""
    draw = random.Random(1)
    short = [ids for text in fortunes() if (ids := lm.tokenizer.encode(text).tolist())]
    novel = lm.tokenizer.encode(book()).tolist()
    ids: list[list[int]] = []
    for kind in (lambda: draw.choice(short), lambda: piece(draw, novel, round(5 * 600 ** draw.random())), None):
        part: list[list[int]] = []
        while sum(map(len, part)) < tokens / 3:
            part += [kind()] if kind else continuations(draw, novel, short)
        ids += part
    return ids


def piece(draw: random.Random, novel: list[int], length: int) -> list[int]:
    first = draw.randrange(len(novel) - length)
    return novel[first : first + length]


def continuations(draw: random.Random, novel: list[int], short: list[list[int]]) -> list[list[int]]:
    context = piece(draw, novel, draw.randrange(50, 700))
    return [context[: draw.randrange(1, len(context))] + draw.choice(short)[:20] for _ in range(8)]


def factors(lm, groups: list[list[list[int]]], **options: int) -> list[np.ndarray]:
    return [score.logprobs for group in groups for score in lm.score_batch(group, **options)]


def regrouped(lm, ids: list[list[int]]) -> list[np.ndarray]:
    """Factors in the order of `ids`, scored in another order, GROUP texts at a time, in other chunks."""
    order = random.Random(2).sample(range(len(ids)), len(ids))
    groups = [[ids[i] for i in order[first : first + GROUP]] for first in range(0, len(order), GROUP)]
    scored = factors(lm, groups, rows=ROWS)
    return [scored[position] for position in np.argsort(order)]


def compare(one: list[np.ndarray], other: list[np.ndarray]) -> dict:
    a, b = np.concatenate(one), np.concatenate(other)
    say(f"  {len(a):,} factors, {(a != b).sum()} differ")
    return {"factors": len(a), "differing": int((a != b).sum()), "largest": float(np.abs(a - b).max())}


def cost(lm, ids: list[list[int]], rounds: int) -> dict:
    """Seconds with row invariance and without, in alternation; the median of the pairs' ratios."""
    pairs = []
    for _ in range(rounds + 1):  # the first warms up
        invariant = seconds(lm, ids)
        with without_invariance():
            pairs.append((invariant, seconds(lm, ids)))
    ratios = [a / b for a, b in pairs[1:]]
    say(f"  with row invariance: {median(ratios):.3f} times the seconds without ({min(ratios):.3f} – {max(ratios):.3f})")
    return {"tokens": sum(map(len, ids)), "seconds": pairs[1:], "ratio": median(ratios), "range": [min(ratios), max(ratios)]}


def seconds(lm, ids: list[list[int]]) -> float:
    start = time.perf_counter()
    lm.score_batch(ids)
    return time.perf_counter() - start


@contextmanager
def without_invariance() -> Iterator[None]:
    """Within this context: plain products and functions, and attention without padding."""
    from chainrule.engine.attention import sdpa
    from chainrule.forest import tiles
    from chainrule.ops import matmul

    changes = [(matmul, "SAME", matmul.FACTORIES), (matmul, "blocks", lambda rows, kind: [rows]), (tiles, "QUERIES", 1),
               (tiles, "KEYS", 1), (sdpa, "QUERIES", 1)]  # fmt: skip
    before = [(module, name, getattr(module, name)) for module, name, _ in changes]
    for change in changes:
        setattr(*change)
    try:
        yield
    finally:
        for change in before:
            setattr(*change)


def say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {line}", flush=True)


if __name__ == "__main__":
    main()
