"""Speed on a GPU, with random weights in bfloat16: whole scores against transformers, and the parts with GPU kernels.

python benchmarks/gpu.py --out gpu.json      # everything: three to four minutes
python benchmarks/gpu.py --model small --profile profile.txt

Each round compares the factors of chainrule with those of transformers' own forward, one text at a time.
"""

from __future__ import annotations

import argparse
import cProfile
import io
import json
import pstats
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers as tf
from torch.nn import functional

import chainrule
from chainrule import LanguageModel
from chainrule.engine.attention.triton import TritonLayout, triton_attend
from chainrule.engine.head import readout
from chainrule.engine.head.fused import read_fused
from chainrule.models.causal import PretrainedModel
from chainrule.models.head import LinearHead

Texts = list[list[int]]
DEVICE, START = torch.device("cuda"), 0
SHAPES: dict[str, dict[str, int]] = {
    "small": {"vocab_size": 49_152, "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
              "num_attention_heads": 9, "num_key_value_heads": 3},
    "medium": {"vocab_size": 151_936, "hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28,
               "num_attention_heads": 12, "num_key_value_heads": 2},
}  # fmt: skip
ROWS = (None, 768)  # rows of a chunk: the default on a GPU, and on the CPU
REPEATS, BATCH = 2, 16_384
ACTIVITIES = (torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=(*SHAPES, "all"), default="all")
    parser.add_argument("--profile", type=Path, help="a file for the profile of one run on flat texts")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    result: dict[str, Any] = {
        "device": torch.cuda.get_device_name(), "torch": torch.__version__, "transformers": tf.__version__,
        "chainrule": chainrule.__version__, "rounds": [],
    }  # fmt: skip
    for name in SHAPES if arguments.model == "all" else [arguments.model]:
        result["rounds"] += measured(name, arguments)
        result[f"head {name}"] = head_times(SHAPES[name]["vocab_size"], SHAPES[name]["hidden_size"])
        print(name, "head:", result[f"head {name}"], flush=True)
        shape = SHAPES[name]
        result[f"attention {name}"] = attention_times(shape["num_attention_heads"], shape["num_key_value_heads"],
                                                      shape["hidden_size"] // shape["num_attention_heads"])  # fmt: skip
        print(name, "attention:", result[f"attention {name}"], flush=True)
        if arguments.out:
            arguments.out.write_text(json.dumps(result, indent=1) + "\n")


def network(name: str) -> Any:
    torch.manual_seed(0)
    config = tf.LlamaConfig(
        **SHAPES[name], max_position_embeddings=8192, bos_token_id=0, eos_token_id=1, tie_word_embeddings=True,
        initializer_range=0.05,
    )  # fmt: skip
    with DEVICE:
        return tf.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).eval()


def workloads(size: int) -> dict[str, Texts]:
    """Sentences, whole documents, and continuations of long beginnings."""
    random = np.random.default_rng(0)

    def draw(n: int) -> list[int]:
        return random.integers(2, size, n).tolist()

    begun = [(context, [draw(10) for _ in range(32)]) for context in (draw(400) for _ in range(24))]
    return {
        "flat": [draw(int(n)) for n in np.clip(random.lognormal(3.6, 0.6, 3000), 5, 250)],
        "documents": [draw(4000) for _ in range(24)],
        "candidates": [context + end for context, ends in begun for end in ends],
    }


def measured(name: str, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    own, results = network(name), []
    begin = time.perf_counter()
    lm = LanguageModel(PretrainedModel(own, name))
    lm.score([5, 6, 7], start=START)
    print(
        f"{name}: probed in {time.perf_counter() - begin:.1f} s, {lm.engine.strategy} strategy; {lm.engine.reason}", flush=True
    )
    work = workloads(SHAPES[name]["vocab_size"])
    for kind, texts in work.items():
        tokens = sum(map(len, texts))
        want = single(own, texts[:20])
        scorers: dict[str, Callable[[], list[np.ndarray]]] = {
            f"chainrule{f', chunks of {rows}' if rows else ''}": lambda rows=rows, texts=texts: [
                s.logprobs for s in lm.score_batch(texts, start=START, rows=rows)
            ]
            for rows in (ROWS if kind == "flat" else ROWS[:1])
        }
        scorers[f"transformers, {BATCH} tokens a batch"] = lambda texts=texts: batches(own, texts, BATCH)
        for way, run in scorers.items():
            torch.cuda.reset_peak_memory_stats()
            first, scores = timed(run)
            took = [seconds(run) for _ in range(REPEATS)]
            row = {
                "model": name, "texts": kind, "tokens": tokens, "way": way, "first_s": round(first, 2),
                "median_s": round(statistics.median(took), 4), "tokens_per_s": round(tokens / statistics.median(took)),
                "peak_gib": round(torch.cuda.max_memory_allocated() / 2**30, 2),
                "apart": float(max(np.abs(a - b).max() for a, b in zip(scores, want, strict=False))),
            }  # fmt: skip
            results.append(row)
            print(f"{name:7} {kind:11} {way:32} {row['tokens_per_s']:>9,} tokens/s  first {first:6.2f} s  "
                  f"{row['peak_gib']:6.2f} GiB  {row['apart']:.2f} nats from transformers", flush=True)  # fmt: skip
    if arguments.profile:  # last: every later launch is slower
        profiled(lambda: lm.score_batch(work["flat"], start=START), arguments.profile, name)
    return results


def seconds(run: Callable[[], Any]) -> float:
    return timed(run)[0]


def timed(run: Callable[[], Any]) -> tuple[float, Any]:
    torch.cuda.synchronize()
    begin = time.perf_counter()
    result = run()
    torch.cuda.synchronize()
    return time.perf_counter() - begin, result


@torch.inference_mode()
def single(own: Any, texts: Texts) -> list[np.ndarray]:
    """One text at a time, log-softmax in float32."""
    logprobs = []
    for text in texts:
        ids = torch.tensor([[START, *text]], device=DEVICE)
        logits_TV = own(input_ids=ids, use_cache=False).logits[0, :-1].float()
        logprobs.append(torch.log_softmax(logits_TV, -1).gather(1, ids[0, 1:, None])[:, 0].double().cpu().numpy())
    return logprobs


@torch.inference_mode()
def batches(own: Any, texts: Texts, most: int) -> list[np.ndarray]:
    """The usual code with transformers: sorted by length, padded, log-sum-exp of a few texts at a time."""
    order, logprobs = sorted(range(len(texts)), key=lambda i: -len(texts[i])), [np.zeros(0)] * len(texts)
    while order:
        length = len(texts[order[0]]) + 1
        here, order = order[: max(1, most // length)], order[max(1, most // length) :]
        ids = torch.zeros(len(here), length, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, i in enumerate(here):
            ids[row, 1 : len(texts[i]) + 1], mask[row, : len(texts[i]) + 1] = torch.tensor(texts[i]), 1
        ids, mask = ids.to(DEVICE), mask.to(DEVICE)
        hidden = own.model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
        parts = []
        for some, some_ids in zip(hidden[:, :-1].flatten(0, 1).split(4096), ids[:, 1:].flatten().split(4096), strict=True):
            logits_NV = own.lm_head(some).float()
            parts.append(logits_NV.gather(1, some_ids[:, None])[:, 0] - torch.logsumexp(logits_NV, -1))
        table = torch.cat(parts).view(len(here), -1).double().cpu().numpy()
        for row, i in enumerate(here):
            logprobs[i] = table[row, : len(texts[i])]
    return logprobs


def head_times(size: int, width: int, rows: int = 8192) -> dict[str, Any]:
    """Milliseconds, TFLOP/s and memory of the fused head and of the plain one for `rows` rows."""
    torch.manual_seed(0)
    linear = torch.nn.Linear(width, size, bias=False, device=DEVICE, dtype=torch.bfloat16)
    head, hidden_RH = LinearHead(linear), torch.randn(rows, width, device=DEVICE, dtype=torch.bfloat16)
    row_F, token_F = torch.arange(rows, device=DEVICE), torch.randint(size, (rows,), device=DEVICE)
    results: dict[str, Any] = {}
    for name, run in {
        "fused": lambda: read_fused(head, hidden_RH, row_F, token_F),
        "fused, top 5": lambda: read_fused(head, hidden_RH, row_F, token_F, 5),
        "plain": lambda: readout.read(head, hidden_RH, row_F, token_F),
        "product alone": lambda: [some @ linear.weight.T for some in hidden_RH.split(1024)],
    }.items():
        with torch.inference_mode():
            run()
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            took = statistics.median(seconds(run) for _ in range(7))
        results[name] = {
            "ms": round(took * 1e3, 2), "tflops": round(2e-12 * rows * size * width / took, 1),
            "mib": round((torch.cuda.max_memory_allocated() - before) / 2**20),
        }  # fmt: skip
    return results


def attention_times(heads: int, shared: int, width: int, rows: int = 8192) -> dict[str, Any]:
    """Milliseconds of one layer: a chunk of one long text, the same by PyTorch's causal attention, a chunk of short texts."""
    torch.manual_seed(0)
    results: dict[str, Any] = {}
    for dtype in (torch.bfloat16, torch.float32):
        query_RHD = torch.randn(rows, heads, width, device=DEVICE, dtype=dtype)
        key_KGD, value_KGD = torch.randn(2, rows, shared, width, device=DEVICE, dtype=dtype)
        query_1HRD = query_RHD.transpose(0, 1)[None]
        depth, short = np.arange(rows), np.arange(rows) % 64
        long_text = TritonLayout(0, np.full(rows, rows), depth)
        short_texts = TritonLayout(0, depth - short + 64, short)
        key_1HKD, value_1HKD = (x.repeat_interleave(heads // shared, 1).transpose(0, 1)[None] for x in (key_KGD, value_KGD))
        for name, run in {
            "long": lambda q=query_1HRD, k=key_KGD, v=value_KGD, layout=long_text: triton_attend(layout, q, k, v),
            "PyTorch, long": lambda q=query_1HRD, k=key_1HKD, v=value_1HKD: functional.scaled_dot_product_attention(
                q, k, v, is_causal=True
            ),
            "short": lambda q=query_1HRD, k=key_KGD, v=value_KGD, layout=short_texts: triton_attend(layout, q, k, v),
        }.items():
            with torch.inference_mode():
                run()
                took = statistics.median(seconds(run) for _ in range(9))
            row = {"ms": round(took * 1e3, 3)}
            if "long" in name:
                row["tflops"] = round(2e-12 * rows * rows * width * heads / took, 1)
            results[f"{name}, {str(dtype)[6:]}"] = row
    return results


def profiled(run: Callable[[], Any], out: Path, name: str) -> None:
    """Append the profile of a run to `out`, by Python function and by kernel."""
    python = cProfile.Profile()
    python.runcall(run)
    text = io.StringIO()
    pstats.Stats(python, stream=text).sort_stats("tottime").print_stats(45)
    pstats.Stats(python, stream=text).sort_stats("cumulative").print_stats(60)
    with torch.profiler.profile(activities=ACTIVITIES) as kernels:
        run()
        torch.cuda.synchronize()
    text.write(kernels.key_averages().table(sort_by="self_cuda_time_total", row_limit=40, max_name_column_width=70))
    with out.open("a") as file:
        file.write(f"{name}\n{text.getvalue()}\n")


if __name__ == "__main__":
    main()
