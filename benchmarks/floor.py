"""The floor: how fast the model's own matrix products alone would allow, beside what chainrule reaches.

    .venv/bin/python benchmarks/floor.py

Every linear layer of the trunk and the head runs once on N rows in float32, into memory allocated before; attention,
norms and softmax are left out. No scorer that runs each token through the dense model can be faster. The best N counts.
"""

import argparse
import sys
import time
from pathlib import Path

from run import default_model, existing
from tokenizers import Tokenizer
from workloads import flat

ROWS = (64, 128, 256, 512, 1024, 2048)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="folder of the model (default: chainrule's own smollm2-135m)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--texts", type=int, default=500, help="how many texts chainrule scores; 0: the floor alone")
    arguments = parser.parse_args()
    model = existing(arguments.model or default_model())

    import torch

    torch.set_num_threads(arguments.threads)
    best = max(floor(model))
    print(f"floor: {best:,.0f} tokens/s")
    if arguments.texts:
        reached = throughput(model, arguments.texts)
        print(f"chainrule, {arguments.texts} short texts: {reached:,.0f} tokens/s, {reached / best:.0%} of the floor")


def floor(model: Path) -> list[float]:
    """Tokens a second of the matrix products for each row count."""
    import torch
    from transformers import AutoModelForCausalLM

    network = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    weights_IO = [layer.weight.detach().T for layer in network.modules() if isinstance(layer, torch.nn.Linear)]
    rates = []
    for rows in ROWS:
        rates.append(rows / seconds(weights_IO, rows))
        print(f"{rows:5} rows {rates[-1]:8,.0f} tokens/s", file=sys.stderr, flush=True)
    return rates


def seconds(weights_IO: list, rows: int) -> float:
    """The least time of one pass over ``weights_IO``, each (in, out), after a pass to warm up."""
    import torch

    inputs = {size: torch.randn(rows, size) for size in {weight.shape[0] for weight in weights_IO}}
    outputs = {size: torch.empty(rows, size) for size in {weight.shape[1] for weight in weights_IO}}
    times = []
    for _ in range(4):
        start = time.perf_counter()
        for weight in weights_IO:
            torch.mm(inputs[weight.shape[0]], weight, out=outputs[weight.shape[1]])
        times.append(time.perf_counter() - start)
    return min(times[1:])


def throughput(model: Path, count: int) -> float:
    """chainrule's tokens a second on the ``flat`` workload, after a small batch to warm up."""
    import chainrule

    workload = flat(Tokenizer.from_file(str(model / "tokenizer.json")), count)
    lm = chainrule.load(str(model), dtype="float32")
    lm.score_batch(**workload.warmup)
    start = time.perf_counter()
    lm.score_batch(**workload.request)
    return workload.tokens / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
