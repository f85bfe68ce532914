"""Log-likelihoods in lm-evaluation-harness: chainrule in turn with the harness's own `hf`, over the same requests.

    make harness                                        # once: makes .bench/harness
    .bench/harness/bin/python benchmarks/harness.py     # --vllm PYTHON: also vLLM, in the environment of that interpreter

`hf` runs with the fastest of several batch sizes, which is found first. ("auto" begins with 64 texts of 8,192 tokens, for which
no CPU has the memory.) Questions are about passages of a book of 600 to 1,000 tokens, each with 4 choices. With shared
examples, 620 of 700 tokens are the same for all questions. Choices of one token share one pass of `hf`; longer ones do not.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import statistics
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import machine
import torch
from texts import book

HERE = Path(__file__).resolve().parent
SIZES = (1, 8)  # 4 and 16 were slower than the better of these in every run
LETTERS = (" A", " B", " C", " D")
GOALS = {"several tokens": 5.0, "several tokens, shared examples": 5.0, "one token": 1.3}

Request = tuple[str, str]


def requests(questions: int) -> dict[str, list[Request]]:
    """The requests of each workload: passages, each with its choices of several tokens or of one.

    With shared examples, the questions have a first passage in common, as the questions of a task have their few-shot examples.
    """
    words = book().split()
    examples = " ".join(words[1000:1470])
    several, shared, single = [], [], []
    for i in range(questions):
        count = 470 + (i % 4) * 90  # words; 1.3 tokens each
        start = 4000 + i * 1100
        passage = " ".join(words[start : start + count])
        ends = [" " + " ".join(words[at : at + 8]) for at in (start + count, start + 900, start + 950, start + 1000)]
        several += [(passage, end) for end in ends]
        shared += [(f"{examples}\n\n{' '.join(words[start + count - 60 : start + count])}", end) for end in ends]
        lines = "\n".join(f"{letter.strip()}.{end}" for letter, end in zip(LETTERS, ends, strict=True))
        single += [(f"{passage}\n\nWhich continues the text?\n{lines}\nAnswer:", letter) for letter in LETTERS]
    return {"several tokens": several, "several tokens, shared examples": shared, "one token": single}


def seconds(lm: Any, pairs: list[Request]) -> tuple[float, list[tuple[float, bool]]]:
    from lm_eval.api.instance import Instance

    instances = [Instance("loglikelihood", {}, pair, i) for i, pair in enumerate(pairs)]
    began = time.perf_counter()
    numbers = lm.loglikelihood(instances, disable_tqdm=True)
    return time.perf_counter() - began, numbers


def fastest_size(hf: Any, pairs: list[Request]) -> tuple[int, dict[int, float]]:
    times = {}
    for size in SIZES:
        hf.batch_size_per_gpu = size
        times[size] = seconds(hf, pairs)[0]
    return min(times, key=lambda size: times[size]), times


def measure(name: str, pairs: list[Request], hf: Any, ours: Any, rounds: int) -> dict[str, Any]:
    """The seconds of both, round by round, and the median of hf's ÷ ours."""
    seconds(ours, pairs[:4])
    size, sizes = fastest_size(hf, pairs)
    hf.batch_size_per_gpu = size
    turns = [(seconds(hf, pairs), seconds(ours, pairs)) for _ in range(rounds)]
    ratios = [a / b for (a, _), (b, _) in turns]
    (_, theirs), (_, own) = turns[0]
    row = {
        "workload": name,
        "requests": len(pairs),
        "tokens": sum(len(ours.tok_encode(context + text)) for context, text in pairs),
        "hf_batch_size": size,
        "hf_s_by_batch_size": sizes,
        "hf_s": [a for (a, _), _ in turns],
        "chainrule_s": [b for _, (b, _) in turns],
        "ratio": statistics.median(ratios),
        "lowest": min(ratios),
        "highest": max(ratios),
        "goal": GOALS[name],
        "max_difference": max(abs(a - b) for (a, _), (b, _) in zip(theirs, own, strict=True)),
        "same_is_greedy": all(a == b for (_, a), (_, b) in zip(theirs, own, strict=True)),
    }
    print(f"{name}: {row['ratio']:.2f} times as fast as hf, batches of {size} ({row['lowest']:.2f} to {row['highest']:.2f}); "
          f"largest difference {row['max_difference']:.1e} nats", flush=True)  # fmt: skip
    return row


VLLM = {
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # so that OMP_NUM_THREADS holds, as for the others
    "VLLM_CPU_KVCACHE_SPACE": "4",  # GiB
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_CACHE_ROOT": str(HERE.parent / ".bench" / "vllm-cache"),
}
WORKER = """
import json, sys, time
from lm_eval.api.instance import Instance
from lm_eval.api.registry import get_model
asked = json.load(sys.stdin)
lm = get_model("vllm")(pretrained=asked["model"], dtype=asked["dtype"], batch_size="auto", max_model_len=2048)
found = {}
for name, pairs in asked["requests"].items():
    instances = [Instance("loglikelihood", {}, tuple(pair), i) for i, pair in enumerate(pairs)]
    lm.loglikelihood(instances[:4], disable_tqdm=True)
    times = []
    for _ in range(asked["rounds"]):
        began = time.perf_counter()
        numbers = lm.loglikelihood(instances, disable_tqdm=True)
        times.append(time.perf_counter() - began)
    found[name] = {"vllm_s": times, "numbers": [float(number) for number, _ in numbers]}
print("RESULT " + json.dumps(found))
"""


def vllm(python: str, model: str, dtype: str, work: dict[str, list[Request]], rounds: int) -> dict[str, Any]:
    """The seconds of vLLM, in its own process and environment, after the others."""
    asked = json.dumps({"model": model, "dtype": dtype, "requests": work, "rounds": rounds})
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    found = subprocess.run([python, "-c", WORKER], input=asked, capture_output=True, text=True, env=os.environ | VLLM | threads)
    lines = [line.removeprefix("RESULT ") for line in found.stdout.splitlines() if line.startswith("RESULT ")]
    if not lines:
        raise SystemExit(f"vLLM did not answer:\n{found.stderr[-2000:]}")
    return json.loads(lines[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--questions", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--vllm", metavar="PYTHON", help="the interpreter of an environment with vllm and lm_eval")
    arguments = parser.parse_args()
    import lm_eval.models  # noqa: F401 (it registers hf)
    from lm_eval.api.registry import get_model

    import chainrule.evaluation.lm_eval  # noqa: F401 (it registers the model)
    from chainrule.models.packaged import folder

    path = str(folder("smollm2-135m"))
    began = machine.describe()
    ours = get_model("chainrule")("smollm2-135m", dtype=arguments.dtype)
    hf = get_model("hf")(path, dtype=arguments.dtype, device="cpu", batch_size=1)
    work = requests(arguments.questions)
    rows = [measure(name, pairs, hf, ours, arguments.rounds) for name, pairs in work.items()]
    if arguments.vllm:
        found = vllm(arguments.vllm, path, arguments.dtype, work, arguments.rounds)
        for row in rows:
            times = found[row["workload"]]["vllm_s"]
            row |= {"vllm_s": times, "vllm_ratio": statistics.median(times) / statistics.median(row["chainrule_s"])}
            print(f"{row['workload']}: {row['vllm_ratio']:.2f} times as fast as vLLM", flush=True)
    run = {"command": f"python {' '.join(['benchmarks/harness.py', *sys.argv[1:]])}", "date": str(datetime.date.today())}
    run |= {"model": "smollm2-135m", "dtype": arguments.dtype, "threads": torch.get_num_threads(), "cases": rows}
    run |= {name: version(name) for name in ("lm_eval", "transformers", "torch", "chainrule")}
    target = HERE / "results" / f"harness-{arguments.dtype}-{datetime.date.today()}.json"
    target.write_text(json.dumps(run | {"machine": began}, indent=1) + "\n", encoding="utf-8")
    print(f"written to {target.relative_to(HERE.parent)}")


if __name__ == "__main__":
    main()
