"""chainrule against the floor: the time of the model's own matrix products alone, for the same rows.

    .venv/bin/python benchmarks/floor.py            # everything: allow 12 minutes on two cores
    .venv/bin/python benchmarks/floor.py --quick    # a short test run of everything

For each dtype the floor (``products.py``) and chainrule alternate: floor, flat, floor, flat, …, floor, book, floor. Each round
of a workload is compared with the floor before and after it; results are medians over the rounds. The rows that must be
computed are counted independently of chainrule (``texts.distinct``): rows of the trunk (distinct contexts; where windows
overlap, the rows of each of them) and rows of the head (those whose next token is scored). Finally two separate processes
measure the memory for 500 texts and for four times as many (``memory.py``). Results go to
``benchmarks/results/floor-DATE.json``, tables to ``floor-DATE.md``.
"""

import argparse
import json
import subprocess
import sys
import time
from datetime import date
from pathlib import Path
from statistics import median

import products
import torch
from floor_report import render_floor, render_floor_origin
from machine import describe, fingerprint
from run import command, default_model, existing, say
from systems import BENCH, HERE
from tokenizers import Tokenizer
from workers.protocol import packages
from workloads import Workload, build

import chainrule
from chainrule.ops import native
from chainrule.results import Scores

ROUNDS = {"flat": 3, "candidates": 3}  # 1 for the others
BOTH = ("flat", "mixed", "book", "candidates", "questions", "nbest")
WORKLOADS = {"float32": BOTH, "bfloat16": (*BOTH, "book-overlap")}


def main() -> None:
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    result = {"date": date.today().isoformat(), "command": command(arguments.model, "floor.py"), "machine": describe()}
    result |= {"model": {"name": arguments.model.name, "sha256": fingerprint(arguments.model)}}
    result |= {"kernels": native.status().reason}
    result |= {"threads": arguments.threads, "packages": {"chainrule": packages()}, "floor": {}, "workloads": {}}
    for dtype in arguments.dtypes:
        measure_dtype(dtype, arguments, result)
    for measured in result["workloads"].values():
        compare(measured, result["workloads"].get("flat"))
    if not arguments.without_memory:
        result["memory"] = [memory(count, arguments) for count in ((40, 160) if arguments.quick else (500, 2000))]
    write(result, arguments.out)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="folder of the model (default: chainrule's own smollm2-135m)")
    parser.add_argument("--dtypes", nargs="+", default=list(WORKLOADS), choices=list(WORKLOADS))
    parser.add_argument("--workloads", nargs="+", default=list(WORKLOADS["bfloat16"]), choices=list(WORKLOADS["bfloat16"]),
                        metavar="WORKLOAD")  # fmt: skip
    parser.add_argument("--without-memory", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="a short test run of everything, one round; written to .bench/")
    parser.add_argument("--out", type=Path, help="the .json to write (default: benchmarks/results/floor-DATE.json)")
    arguments = parser.parse_args()
    arguments.model = existing(arguments.model or default_model())
    day = HERE / "results" / f"floor-{date.today().isoformat()}.json"
    arguments.out = arguments.out or (BENCH / "floor-quick.json" if arguments.quick else day)
    return arguments


def measure_dtype(dtype: str, arguments: argparse.Namespace, result: dict) -> None:
    """All workloads in one dtype, with samples of the floor in between."""
    floor = products.Products(arguments.model, dtype)
    best = ", ".join(f"{rows} rows by {kernel} in the {part}" for part, (rows, _, kernel) in floor.best.items())
    say(f"{dtype}: the floor is fastest with {best}")
    lm = chainrule.load(str(arguments.model), dtype=dtype)
    tokenizer = Tokenizer.from_file(str(arguments.model / "tokenizer.json"))
    samples = [floor.sample()]
    for name in (name for name in WORKLOADS[dtype] if name in arguments.workloads):
        workload = build(name, tokenizer, "quick" if arguments.quick else "full")
        rounds = 1 if arguments.quick else ROUNDS.get(name, 1)
        into = result["workloads"].setdefault(name, {"tokens": workload.tokens, "facts": workload.facts})
        into[dtype] = measure(lm, workload, rounds, floor, samples)
        say(f"{dtype} {name}: {into[dtype]['tokens_per_second']:,.0f} tokens/s, {into[dtype]['share']:.0%} of the floor")
    result["floor"][dtype] = {"best": floor.best, "search": floor.search, "samples": samples} | per_second(samples)


def measure(lm: chainrule.LanguageModel, workload: Workload, rounds: int, floor: products.Products, samples: list) -> dict:
    """Rounds of one workload, each between two samples of the floor; these are added to ``samples``."""
    needed, read = workload.facts["distinct_contexts"], workload.facts["read_contexts"]
    score(lm, workload.method, **workload.warmup)
    times, floors = [], []
    for _ in range(rounds):
        start = time.perf_counter()
        scores = score(lm, workload.method, **workload.request)
        times.append(time.perf_counter() - start)
        samples.append(floor.sample())
        floors.append(products.seconds(samples[-2:], needed, read))
    return {
        "seconds": [round(value, 3) for value in times],
        "floor_seconds": [round(value, 3) for value in floors],
        "median_seconds": round(median(times), 4),
        "tokens_per_second": round(workload.tokens / median(times), 1),
        "rows": scores.rows,
        "distinct_contexts": scores.distinct_contexts,
        "share": round(median(f / t for f, t in zip(floors, times, strict=True)), 4),
    }


def score(lm: chainrule.LanguageModel, method: str, **request: object) -> Scores:
    """The calls of workers/chainrule.py, with their full results."""
    match method, request:
        case "flat", {"texts": texts}:
            return lm.score_batch(texts)
        case "candidates", {"context": context, "candidates": candidates}:
            return lm.score_batch(candidates, context=context)
        case "questions", {"questions": questions}:
            pairs = [(question, answer) for question, answers in questions for answer in answers]
            return lm.score_batch([answer for _, answer in pairs], context=[question for question, _ in pairs])
        case "book", {"text": text, "window": window, "stride": stride}:
            return lm.score_batch([text], window=window, stride=stride)
    raise ValueError(f"no method {method!r}")


def per_second(samples: list[dict[str, float]]) -> dict[str, float]:
    """Tokens per second of the floor, for texts without shared contexts and with every token read."""
    whole = [1 / products.seconds([sample], 1, 1) for sample in samples]
    return {"tokens_per_second": round(median(whole), 1), "least": round(min(whole), 1), "most": round(max(whole), 1)}


def compare(measured: dict, flat: dict | None) -> None:
    """Add bfloat16 ÷ float32, and the cost of a distinct context in units of the cost of a token of `flat`."""
    dtypes = [dtype for dtype in WORKLOADS if dtype in measured]
    if len(dtypes) == 2:
        measured["bfloat16_speedup"] = round(measured["float32"]["median_seconds"] / measured["bfloat16"]["median_seconds"], 3)
    for dtype in dtypes:
        if flat and dtype in flat:
            per_context = measured[dtype]["median_seconds"] / measured["facts"]["distinct_contexts"]
            measured[dtype]["context_over_flat_token"] = round(per_context * flat[dtype]["tokens_per_second"], 3)


def memory(texts: int, arguments: argparse.Namespace) -> dict:
    """The memory of scoring in float32, measured in a separate process."""
    words = [sys.executable, "memory.py", "--model", arguments.model, "--threads", arguments.threads, "--texts", texts]
    done = subprocess.run([*map(str, words)], cwd=HERE, check=True, stdout=subprocess.PIPE, text=True)
    result = json.loads(done.stdout.splitlines()[-1])
    say(f"memory: {result['peak_mib']} MiB above the loaded model for {result['tokens']:,} tokens")
    return result


def write(result: dict, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    tables = f"{render_floor(result)}\n\n{render_floor_origin(result)}\n"
    path.with_suffix(".md").write_text(tables, encoding="utf-8")
    say(f"wrote {path} and {path.with_suffix('.md').name}")
    print(tables)


if __name__ == "__main__":
    main()
