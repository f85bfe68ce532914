"""The tables of docs/corpora.md, from the newest measurements of benchmarks/corpus.py and benchmarks/gpu.py."""

from __future__ import annotations

import re
from statistics import median
from typing import Any

from report import newest

_DAY = 86_400  # seconds
_DOCUMENT = 1_000  # tokens
_GPU_MODEL = "1.5 B parameters, random weights in bfloat16"


def render_workers() -> str | None:
    """Many workers against few, on an idle machine and on a busy one."""
    if (found := newest("corpus-workers-????-??-??.json")) is None:
        return None
    run = found[1]
    rows = ["| machine | 1 worker of 2 threads | 2 workers of 1 thread | ratio |", "|---|---:|---:|---:|"]
    for state, name in (("idle", "idle"), ("busy", "beside a process that computes without end")):
        many, few = run[state]["seconds"].values()
        ratios = sorted(run[state]["ratio"])
        spread = f"{median(ratios):.2f} [{ratios[0]:.2f} – {ratios[-1]:.2f}]"
        rows.append(f"| {name} | {median(few):.1f} s | {median(many):.1f} s | {spread} |")
    origin = (
        f"`python benchmarks/corpus.py workers`: {run['documents']} passages of a book, SmolLM2-135M in float32, "
        f"on {run['machine']['cpu']}, 2 cores, {len(run['idle']['ratio'])} rounds in turn, {run['date']}. Medians, without "
        "the start of the workers."
    )
    return "\n\n".join(["\n".join(rows), origin])


def render_cost() -> str | None:
    """Tokens in a second and documents in a day, by machine."""
    million, texts, gpu = (newest(f"{name}-????-??-??.json") for name in ("corpus-million", "corpus-fortunes", "gpu"))
    if million is None or texts is None or gpu is None:
        return None
    run = texts[1]["whole"]
    speed = _number(run["output"], "token") / run["scoring"]
    documents = [each for each in gpu[1]["rounds"] if each["texts"] == "documents" and each["way"] == "chainrule"]
    on_gpu = max(each["tokens_per_s"] for each in documents)
    rows = [
        "| machine | model | tokens/s | documents of 1,000 tokens in a day |",
        "|---|---|---:|---:|",
        _row("one core", "SmolLM2-135M, float32", speed / 2),
        _row("a laptop or a small server, 8 cores", "the same", 4 * speed),
        _row("a server, 64 cores", "the same", 32 * speed),
        _row("a cluster, 10 of them", "the same", 320 * speed),
        _row("one GPU", _GPU_MODEL, on_gpu),
        _row("a cluster, 64 GPUs", "the same", 64 * on_gpu),
    ]
    return "\n\n".join(["\n".join(rows), _origin(texts[1], million[1], gpu[1], speed)])


def _row(machine: str, model: str, speed: float) -> str:
    return f"| {machine} | {model} | {_round(speed):,} | {_round(speed * _DAY / _DOCUMENT):,} |"


def _origin(texts: dict[str, Any], million: dict[str, Any], gpu: dict[str, Any], speed: float) -> str:
    seconds = {name: median(each) for name, each in texts["seconds"].items()}
    harness = "" if "lm-eval" not in seconds else (
        f", and `loglikelihood_rolling` of lm-evaluation-harness {seconds['lm-eval'] / seconds['corpus']:.2f} times as long "
        "as the run"
    )  # fmt: skip
    corpus = median(million["documents_per_second"]["corpus"])
    ratios = list(million["ratio"].values())
    return (
        f"Measured: two cores of {texts['machine']['cpu']} score the {texts['texts']:,} texts of Debian's fortunes "
        f"with {speed:,.0f} tokens/s ({texts['date']}); on a sample of {texts['sample']}, the run without its start takes "
        f"{seconds['corpus'] / seconds['score_batch']:.2f} times as long as `score_batch`{harness}. "
        f"One {gpu['device'].split(',')[0]} scores documents of 4,000 tokens ({gpu['date']}). "
        "The other rows are multiples: workers do not wait for one another. "
        f"Larger models take longer in proportion to their parameters, and texts that share beginnings less.\n\n"
        f"{million['documents']:,} short documents with a tiny model: {corpus:,.0f} documents/s with reading and writing, "
        f"{max(ratios):.2f} times the speed of `score_batch` on 10,000 texts at a time, {min(ratios):.2f} times that of all "
        f"at once; memory stays at {million['runs'][-1]['memory_mib'][-1] / 1024:.1f} GiB ({million['date']})."
    )


def _number(words: str, noun: str) -> int:
    found = re.search(rf"([\d,]+) {noun}", words)
    if found is None:
        raise ValueError(f"there is no number of {noun}s in {words!r}")
    return int(found[1].replace(",", ""))


def _round(value: float) -> int:
    """To two digits."""
    digits = len(str(int(value))) - 2
    return int(round(value, -digits)) if digits > 0 else round(value)
