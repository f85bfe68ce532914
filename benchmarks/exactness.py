"""Exactness: every factor of the 500 texts against the model's own forward, unpadded, one text at a time.

    python benchmarks/exactness.py

Prints the largest and the mean difference in nats over all factors, for several chunk sizes, a shuffled order and
embeddings, and writes them to benchmarks/results/exactness-YYYY-MM-DD.json. Takes about ten minutes on two cores.
"""

from __future__ import annotations

import argparse
import datetime
import json
import random
from collections.abc import Callable
from pathlib import Path

import machine
import numpy as np
import torch
from texts import fortunes

import chainrule

HERE = Path(__file__).resolve().parent


def own(lm: chainrule.LanguageModel, texts: list[str]) -> list[np.ndarray]:
    """log Pr of each token by transformers' own model and head; only the log-softmax is in float64."""
    factors = []
    for ids in lm.tokenizer.encode_batch(texts):
        logits = lm.model.own_logits(torch.from_numpy(np.append(lm.start.id, ids[:-1])))
        factors.append(logits.double().log_softmax(-1)[torch.arange(len(ids)), torch.from_numpy(ids)].numpy())
    return factors


def embedded(lm: chainrule.LanguageModel, texts: list[str]) -> list[np.ndarray]:
    return [lm.score(ids, embeddings=lm.embed(ids)).logprobs for ids in lm.tokenizer.encode_batch(texts)]


def shuffled(lm: chainrule.LanguageModel, texts: list[str]) -> list[np.ndarray]:
    order = random.Random(0).sample(range(len(texts)), len(texts))
    factors = dict(zip(order, batch(lm, [texts[i] for i in order]), strict=True))
    return [factors[i] for i in range(len(texts))]


def batch(lm: chainrule.LanguageModel, texts: list[str], rows: int = 768) -> list[np.ndarray]:
    return [score.logprobs for score in lm.score_batch(texts, rows=rows)]


def scorers() -> dict[str, Callable[[chainrule.LanguageModel, list[str]], list[np.ndarray]]]:
    chunks = {f"chunks of {rows} rows": lambda lm, texts, rows=rows: batch(lm, texts, rows) for rows in (64, 256, 768, 2048)}
    return {**chunks, "texts in shuffled order": shuffled, "embeddings in place of ids": embedded}


def compare(factors: list[np.ndarray], reference: list[np.ndarray]) -> dict[str, float | int]:
    difference = np.abs(np.concatenate(factors) - np.concatenate(reference))
    return {
        "factors": difference.size,
        "mean": float(difference.mean()),
        "p99.99": float(np.quantile(difference, 0.9999)),
        "max": float(difference.max()),
        "beyond 1e-4": int((difference >= 1e-4).sum()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", type=int, default=500)
    count = parser.parse_args().texts
    texts = fortunes()[:count]
    results: dict[str, dict[str, float | int]] = {}

    def report(name: str, factors: list[np.ndarray], reference: list[np.ndarray]) -> None:
        results[name] = compare(factors, reference)
        print(f"{name:45}", "  ".join(f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in results[name].items()))

    wide = chainrule.load(dtype="float32")
    reference = own(wide, texts)
    for name, score in scorers().items():
        report(f"float32, {name}", score(wide, texts), reference)
    exact = own(chainrule.load(dtype="float64"), texts)
    report("the model's own float32 forward, from float64", reference, exact)
    report("float32, chunks of 768 rows, from float64", batch(wide, texts), exact)
    narrow = chainrule.load(dtype="bfloat16")
    report("the model's own bfloat16 forward, from float32", own(narrow, texts), reference)
    report("bfloat16, from float32", batch(narrow, texts), reference)
    target = HERE / "results" / f"exactness-{datetime.date.today()}.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps({"machine": machine.describe(), "results": results}, indent=1) + "\n", encoding="utf-8")
    print(f"written to {target.relative_to(HERE.parent)}")


if __name__ == "__main__":
    main()
