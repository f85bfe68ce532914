"""The speed-up by the compiled kernels: the same texts with them and without, in alternation.

    .venv/bin/python benchmarks/kernels.py                  # short texts and a piece of a book, both dtypes: about 6 minutes
    .venv/bin/python benchmarks/kernels.py --rounds 1 --dtypes float32

Also the largest and the mean difference of a factor, in nats.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from machine import describe, fingerprint
from run import default_model, existing
from texts import book, fortunes

HERE = Path(__file__).resolve().parent
SHORT, LONG = 80, 2047  # texts, and tokens of a book after the start symbol


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="folder of the model (default: chainrule's own smollm2-135m)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=HERE / "results" / f"kernels-{date.today().isoformat()}.json")
    arguments = parser.parse_args()
    model = existing(arguments.model or default_model())
    result: dict[str, Any] = {"date": date.today().isoformat(), "machine": describe(), "threads": arguments.threads}
    result |= {"model": {"name": model.name, "sha256": fingerprint(model)}}
    result["dtypes"] = {dtype: measure(model, dtype, arguments) for dtype in arguments.dtypes}
    arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def measure(model: Path, dtype: str, arguments: argparse.Namespace) -> dict:
    import chainrule

    lm = chainrule.load(str(model), dtype=dtype, threads=arguments.threads)
    texts = {"short texts": fortunes()[:SHORT], "a book": [lm.tokenizer.encode(book())[:LONG].tolist()]}
    return {"kernels": lm.kernels.reason} | {name: alternate(lm, some, arguments.rounds) for name, some in texts.items()}


def alternate(lm: Any, texts: list, rounds: int) -> dict:
    pairs = []
    for _ in range(rounds + 1):  # the first warms up
        compiled = timed(lm, texts)
        with without_kernels():
            pairs.append((compiled, timed(lm, texts)))
    ratios = [plain / native for (native, _), (plain, _) in pairs[1:]]
    gap = np.abs(pairs[0][0][1] - pairs[0][1][1])
    tokens = len(gap)
    result = {
        "tokens": tokens,
        "tokens_per_second": round(tokens / median(native for (native, _), _ in pairs[1:]), 1),
        "without": round(tokens / median(plain for _, (plain, _) in pairs[1:]), 1),
        "ratio": round(median(ratios), 3),
        "range": [round(min(ratios), 3), round(max(ratios), 3)],
        "difference": {"mean": float(gap.mean()), "largest": float(gap.max())},
    }
    print(lm.model.dtype, result, flush=True)
    return result


def timed(lm: Any, texts: list) -> tuple[float, np.ndarray]:
    start = time.perf_counter()
    scores = lm.score_batch(texts)
    return time.perf_counter() - start, scores.logprobs


@contextmanager
def without_kernels() -> Iterator[None]:
    """Within this context, PyTorch's own kernels run."""
    from chainrule.ops.library import build

    before = build.status
    build.status = lambda: build.Kernels(False, "disabled by the benchmark")
    try:
        yield
    finally:
        build.status = before


if __name__ == "__main__":
    main()
