"""Python's share of a chunk, and the threads with parts of their own that it allows.

    .venv/bin/python benchmarks/python_share.py [--dtypes float32 bfloat16] [--threads 2 8 16 64]

Such threads share Python's lock. A network with the layers of SmolLM2-135M, but 16 numbers wide, computes a chunk of 768 rows
in little more than the time of Python and of PyTorch's dispatch: the most that a chunk can hold the lock, g. T is the time of
a chunk of the model itself, in one thread. The model: a thread computes for T − g, then waits for the lock and holds it for g.
With n threads the mean speed follows from the mean value analysis of such a queue (Reiser and Lavenberg 1980); it is at most
T / g. The memory and the caches that cores share are not in the model.
"""

from __future__ import annotations

import argparse
import datetime
import json
import statistics
import time
from pathlib import Path
from typing import Any

import machine
import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

import chainrule
from chainrule import LanguageModel
from chainrule.models.causal import PretrainedModel
from chainrule.ops.matmul import ROWS

HERE = Path(__file__).resolve().parent
LENGTH = 32  # tokens of a text
TILES, TILE = 12, 64  # of the narrow network's vocabulary, and the tokens of each


def narrow() -> LanguageModel:
    """A narrow network of 30 layers, whose vocabulary has as many tiles as that of SmolLM2-135M."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=TILES * TILE, hidden_size=16, intermediate_size=16, num_hidden_layers=30, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=64, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    lm = LanguageModel(PretrainedModel(LlamaForCausalLM(config).eval(), "narrow"))
    lm.predictor.engine.model.head.tile = TILE
    return lm


def of_a_chunk(lm: LanguageModel, rounds: int) -> float:
    """The median of the seconds for texts of ROWS contexts, which share only the first."""
    draw = np.random.default_rng(0)
    seconds = []
    for _ in range(rounds + 1):
        texts = [draw.integers(3, TILES * TILE, LENGTH).tolist() for _ in range(ROWS // LENGTH)]
        began = time.perf_counter()
        lm.score_batch(texts)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[1:])


def speed(threads: int, whole: float, lock: float) -> float:
    """The speed of this many threads, in units of one, if a chunk takes `whole` seconds and holds the lock for `lock`."""
    waiting, rate = 0.0, 0.0
    for n in range(1, threads + 1):
        response = lock * (1 + waiting)
        rate = n / (whole - lock + response)
        waiting = rate * response
    return rate * whole


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--threads", nargs="+", type=int, default=[2, 8, 16, 64])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    lock = of_a_chunk(narrow(), 15)
    print(f"a narrow chunk takes {lock * 1000:.0f} ms")
    report: dict[str, Any] = {"machine": machine.describe(), "rows": ROWS, "narrow_seconds": round(lock, 4), "dtypes": {}}
    for dtype in arguments.dtypes:
        whole = of_a_chunk(chainrule.load("smollm2-135m", dtype=dtype, threads=1), 3)
        speeds = {threads: round(speed(threads, whole, lock), 1) for threads in arguments.threads}
        report["dtypes"][dtype] = {"seconds": round(whole, 3), "share": round(lock / whole, 4), "speeds": speeds}
        print(f"{dtype}: {whole:.2f} s a chunk, of which Python takes at most {lock / whole:.1%}; speeds: {speeds}")
    path = HERE / "results" / f"python-share-{datetime.date.today()}.json"
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
