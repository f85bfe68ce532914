"""Python's share of a chunk, and what it leaves of many threads: a simulation on few cores.

    .venv/bin/python benchmarks/many_threads.py [--chunk-seconds 2.0 1.0 0.5] [--threads 8 16 32 64]

Threads with parts of their own share Python's lock. A network with the layers of SmolLM2-135M, but 16 numbers wide, computes
chunks of 768 rows: nearly all of its time is Python's and PyTorch's own work for each operation. A sleep after each product
then makes a chunk as long as it is in the real model, and leaves the lock and the core free, as the product does. So the lock
and all of Python's work are real, while the number of cores is not limited by this machine, as long as the processor seconds
printed stay below the cores that it has. The memory that cores share is not simulated.
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

from chainrule import LanguageModel
from chainrule.forest import parts
from chainrule.models.causal import PretrainedModel
from chainrule.ops import matmul, workers

HERE = Path(__file__).resolve().parent
LENGTH = 32  # tokens of a text
ROWS = matmul.ROWS


def narrow() -> LanguageModel:
    """A network of 30 layers with a vocabulary of 12 tiles, as SmolLM2-135M, and narrow."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=768, hidden_size=16, intermediate_size=16, num_hidden_layers=30, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=64, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    lm = LanguageModel(PretrainedModel(LlamaForCausalLM(config).eval(), "narrow"))
    lm.predictor.engine.model.head.tile = 64
    return lm


class Sleeping:
    """Products that also sleep, in proportion to their rows; how many there were, and their rows together."""

    def __init__(self) -> None:
        self.own, self.seconds_a_row, self.count, self.rows = matmul.plain_product, 0.0, 0, 0

    def __call__(self, x_NK: torch.Tensor, *others: Any) -> Any:
        self.count += 1
        self.rows += len(x_NK)
        if self.seconds_a_row:
            time.sleep(self.seconds_a_row * len(x_NK))
        return self.own(x_NK, *others)


def timed(lm: LanguageModel, texts: list[list[int]], threads: int) -> tuple[float, float]:
    """Seconds and processor seconds of all texts, with this many threads."""
    torch.set_num_threads(threads)
    parts.MOST = threads
    began, used = time.perf_counter(), time.process_time()
    lm.score_batch(texts)
    return time.perf_counter() - began, time.process_time() - used


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunk-seconds", nargs="+", type=float, default=[2.0, 1.0, 0.5])
    parser.add_argument("--threads", nargs="+", type=int, default=[8, 16, 32, 64])
    arguments = parser.parse_args()
    if not workers.available():
        raise SystemExit("the number of threads of one thread cannot be set here, so there are no parts to measure")
    draw, lm, product = np.random.default_rng(0), narrow(), Sleeping()
    chunk = [draw.integers(1, 768, LENGTH).tolist() for _ in range(ROWS // LENGTH)]
    timed(lm, chunk, 1)
    matmul.plain_product = product
    timed(lm, chunk, 1)
    products, product_rows = product.count, product.rows
    without = [timed(lm, chunk, 1) for _ in range(9)]
    seconds, used = (statistics.median(values) for values in zip(*without, strict=True))
    report: dict[str, Any] = {"machine": machine.describe(), "rows": ROWS, "products": products, "seconds": {}}
    report |= {"narrow_chunk_seconds": round(seconds, 4), "narrow_chunk_processor_seconds": round(used, 4)}
    print(f"a narrow chunk takes {seconds * 1000:.1f} ms ({used * 1000:.1f} ms of a processor), {products} products")
    for whole in arguments.chunk_seconds:
        product.seconds_a_row, rows = (whole - seconds) / product_rows, {}
        for threads in sorted({1, *arguments.threads}):
            texts = [draw.integers(1, 768, LENGTH).tolist() for _ in range(3 * threads * len(chunk))]
            elapsed, used = timed(lm, texts, threads)
            rows[threads] = {"chunk_seconds": elapsed / (3 * threads), "cores_in_use": round(used / elapsed, 2)}
            rows[threads]["times_one"] = round(rows[1]["chunk_seconds"] / rows[threads]["chunk_seconds"], 2)
            print(f"chunks of {whole} s, {threads} threads: {json.dumps(rows[threads])}", flush=True)
        report["seconds"][whole] = rows
    path = HERE / "results" / f"many-threads-{datetime.date.today()}.json"
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
