"""Score a tiny model of every causal architecture that transformers has, and write down what comes of it.

python scripts/zoo.py               # all of them, into docs/architectures.md; exit 1 when a number is wrong
python scripts/zoo.py llama mamba   # these, printed only
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
import warnings
from collections import Counter
from datetime import date
from multiprocessing.connection import Connection
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # before anything imports the hub's client
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import torch
import transformers
from architectures import BEYOND, SCORED, TOLERANCE, TYPES, Outcome, examine

import chainrule

TABLE = Path(__file__).resolve().parent.parent / "docs" / "architectures.md"
SECONDS = 120  # for one architecture
NOT_BUILT = "can't be built here"


class Worker:
    """Another process, so that one that crashes or hangs is an outcome and not the end."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.here, there = context.Pipe()
        self.process = context.Process(target=work, args=(there,), daemon=True)
        self.process.start()
        there.close()

    def ask(self, model_type: str) -> Outcome | None:
        """What became of it; None where the process died or its time was up."""
        self.here.send(model_type)
        try:
            return self.here.recv() if self.here.poll(SECONDS) else None
        except EOFError:
            return None

    def stop(self) -> None:
        self.process.kill()
        self.process.join()


def work(asked: Connection) -> None:
    torch.set_num_threads(1)  # tiny models are done before a second one wakes up
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    while True:
        model_type = asked.recv()
        try:
            outcome = examine(model_type)
        except Exception as error:  # loaded, and then not scored
            outcome = Outcome(model_type, "", "wrong", reason=f"{type(error).__name__}: {' '.join(str(error).split())}")
        asked.send(outcome)


def main() -> None:
    types = sys.argv[1:] or TYPES
    if unknown := [name for name in types if name not in TYPES]:
        raise SystemExit(f"transformers {transformers.__version__} has no causal language model of type {', '.join(unknown)}")
    began, worker, outcomes = time.monotonic(), Worker(), []
    for count, model_type in enumerate(types, 1):
        outcome = worker.ask(model_type)
        if outcome is None:
            worker.stop()
            worker = Worker()
            outcome = Outcome(model_type, "", "wrong", reason=f"the process died, or took longer than {SECONDS} s")
        outcomes.append(outcome)
        said = f"{outcome.error:.0e}" if outcome.outcome in (*SCORED, "wrong") else outcome.reason
        print(f"{count:3} of {len(types)}  {model_type:25} {outcome.outcome:8} {said[:150]}", flush=True)
    worker.stop()
    print(totals(outcomes), f"in {time.monotonic() - began:.0f} s")
    if not sys.argv[1:]:
        TABLE.write_text(document(outcomes), encoding="utf-8")
    raise SystemExit(any(outcome.outcome == "wrong" for outcome in outcomes))


def totals(outcomes: list[Outcome]) -> str:
    count = Counter(outcome.outcome for outcome in outcomes)
    scored = sum(count[name] for name in SCORED)
    return (
        f"{len(outcomes)} architectures: {scored} scored exactly ({', '.join(f'{count[n]} {n}' for n in SCORED)}), "
        + ", ".join(f"{count[name]} {name}" for name in ("refused", NOT_BUILT, "wrong"))
    )


def document(outcomes: list[Outcome]) -> str:
    scored = [outcome for outcome in outcomes if outcome.outcome in (*SCORED, "wrong")]
    others = [outcome for outcome in outcomes if outcome not in scored]
    count = Counter(outcome.outcome for outcome in outcomes)
    lines = [
        "# Every architecture",
        "",
        "Made by `make zoo` (`python scripts/zoo.py`); not to be edited by hand.",
        "",
        f"A tiny model of each of the {len(outcomes)} types that transformers knows a causal language model of, with strong",
        "random weights, is saved with a tokenizer, loaded by `chainrule.load`, and held against its own unpadded forward in",
        "float32, one text at a time: prefix forests in chunks of 16 rows, batches of unequal length, windows, single texts,",
        f"real text. All factors must agree to {TOLERANCE:g} nats. Twice each: with the head tied and untied, another",
        "tokenizer, and what limits attention (sliding windows, chunks, top-k indices) below and beyond the length of the",
        f"probe's own sequences. The vocabulary has {BEYOND} rows more than the tokenizer.",
        "",
        "| outcome | architectures | |",
        "|---|---:|---|",
        f"| forest | {count['forest']} | exact, every distinct context computed once |",
        f"| batch | {count['batch'] + count['single']} | exact, through the model's own forward; {count['single']} of them one "
        "sequence at a time |",
        f"| refused | {count['refused']} | with an error that says why |",
        f"| {NOT_BUILT} | {count[NOT_BUILT]} | |",
        f"| wrong | {count['wrong']} | loaded, but a factor is off |",
        "",
        f"{date.today().isoformat()}, transformers {transformers.__version__}, torch {torch.__version__}, chainrule "
        f"{chainrule.__version__}, {sum(outcome.factors for outcome in scored):,} factors.",
        "",
        "| model type | class | outcome | largest error, nats | factors | head | tokenizers |",
        "|---|---|---|---:|---:|---|---|",
        *(
            f"| {o.model_type} | {o.name} | {o.outcome} | {o.error:.0e} | {o.factors:,} | {'; '.join(o.heads)} | "
            f"{', '.join(o.families)} |"
            for o in scored
        ),
        "",
        "Head: linear, as the fused readout computes it, or the model's own code.",
        "",
        "## Not scored",
        "",
        "| model type | class | outcome | why |",
        "|---|---|---|---|",
        *(f"| {o.model_type} | {o.name} | {o.outcome} | {cell(o.reason)} |" for o in others),
        "",
        "## Why not on the forest path",
        "",
        "| model type | what the probe found |",
        "|---|---|",
        *(f"| {o.model_type} | {cell(o.reason)} |" for o in scored if o.outcome != "forest"),
    ]
    if undetermined := [o for o in scored if "float64" in o.reason]:
        lines += ["", "## Compared in float64", "", "Float32 does not determine their factors to the tolerance.", ""]
        lines += ["| model type | |", "|---|---|"]
        lines += [f"| {o.model_type} | {cell(o.reason[o.reason.rindex('in float32') :])} |" for o in undetermined]
    return "\n".join(lines) + "\n"


def cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    main()
