"""Score a tiny model of every causal architecture of transformers, and record the outcomes.

python scripts/zoo.py                              # all of them, to docs/architectures.md; exit code 1 if a number is wrong
python scripts/zoo.py llama mamba                  # only these, printed only, with every trial
python scripts/zoo.py --device cuda --at-once 12   # all of them on a GPU, against the CPU, printed only
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import threading
import time
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # before anything imports the hub's client
os.environ["CHAINRULE_PROBE"] = "always"  # the probe is what is tested
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import torch
import transformers
from architecture_texts import LONG
from architectures import BEYOND, SCORED, TOLERANCE, TYPES, Outcome, Trial, examine

import chainrule

TABLE = Path(__file__).resolve().parent.parent / "docs" / "architectures.md"
SECONDS = 240  # for one architecture
AT_ONCE = min(4, os.cpu_count() or 1)  # of them, each in one thread
VARIANTS = (
    "low: strong random weights; all thresholds on positions are 6 and all caps are 2, so the probe's sequences reach them",
    "middle: the same weights; thresholds on positions are 30, beyond the probe's sequences",
    "weak: the architecture's own initial weights and thresholds",
    "fair: weights between weak and strong; caps change logits by less than a probe of few rows can detect",
    "edge: strong weights; thresholds on positions are 100, and only the largest of many activations reach the caps",
    "outliers: a channel with large values at a few tokens, amplified by norms, as in trained models; the config's own caps",
    "stretched: positions beyond 40 stretched (YaRN, Llama 3, LongRoPE, linear, dynamic); multipliers of the config times 1.5",
    "symbols: texts that contain the start, end and padding symbols, and a symbol that stands for an image",
    "each threshold on positions by itself, and each kind of layer by itself, so that none hides another",
)
NOT_BUILT = "can't be built here"


class Worker:
    """A worker process: a crash or a hang is an outcome and does not end the run."""

    def __init__(self, device: str) -> None:
        context = multiprocessing.get_context("spawn")
        self.here, there = context.Pipe()
        self.process = context.Process(target=work, args=(there, device), daemon=True)
        self.process.start()
        there.close()

    def ask(self, model_type: str) -> Outcome | None:
        """The outcome of a type; None if the process died or took too long."""
        self.here.send(model_type)
        try:
            return self.here.recv() if self.here.poll(SECONDS) else None
        except EOFError:
            return None

    def stop(self) -> None:
        self.process.kill()
        self.process.join()


def work(requests: Connection, device: str) -> None:
    torch.set_num_threads(1)  # a second thread costs more than tiny models take
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    while True:
        try:
            model_type = requests.recv()
        except EOFError:  # the connection is closed
            return
        try:
            outcome = examine(model_type, device=device)
        except Exception as error:  # an error of the zoo itself
            outcome = failed(model_type, f"{type(error).__name__}: {' '.join(str(error).split())}")
        requests.send(outcome)


def failed(model_type: str, reason: str) -> Outcome:
    return Outcome(model_type, "", (Trial("all", "", "wrong", reason=reason),))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("types", nargs="*", help="model types of transformers (default: all)")
    parser.add_argument(
        "--device", default="cpu", help="the device that chainrule scores on; the reference is computed on the CPU"
    )
    parser.add_argument("--at-once", type=int, default=AT_ONCE, help="types at a time, each in a process of one thread")
    arguments = parser.parse_args()
    types = arguments.types or TYPES
    if unknown := [name for name in types if name not in TYPES]:
        raise SystemExit(f"transformers {transformers.__version__} has no causal language model of type {', '.join(unknown)}")
    began, outcomes = time.monotonic(), []
    with ThreadPoolExecutor(arguments.at_once) as pool:
        for count, outcome in enumerate(pool.map(partial(examined, device=arguments.device), types), 1):
            outcomes.append(outcome)
            result = f"{outcome.error:.0e}" if outcome.outcome in (*SCORED, "wrong") else outcome.reason
            print(f"{count:3} of {len(types)}  {outcome.model_type:25} {outcome.outcome:8} {result[:150]}", flush=True)
            for trial in outcome.trials:
                if arguments.types or trial.outcome == "wrong":
                    print(" " * 12 + line_of(trial), flush=True)
    print(totals(outcomes), f"in {time.monotonic() - began:.0f} s")
    if not arguments.types and arguments.device == "cpu":
        TABLE.write_text(document(outcomes), encoding="utf-8")
    raise SystemExit(any(outcome.outcome == "wrong" for outcome in outcomes))


def examined(model_type: str, device: str) -> Outcome:
    """The outcome of one type, from the worker of this thread."""
    worker = vars(_OWN).setdefault("worker", None) or Worker(device)
    outcome = worker.ask(model_type)
    _OWN.worker = worker if outcome else None
    if outcome is None:
        worker.stop()
    return outcome or failed(model_type, f"the process died, or took longer than {SECONDS} s")


_OWN = threading.local()


def line_of(trial: Trial) -> str:
    """A line that describes one trial."""
    error = f"{trial.error:.0e} of {trial.spread:.1g} nats" if trial.factors else ""
    strategy = f"by the {trial.path} strategy" if trial.outcome == "wrong" else ""
    return " ".join(filter(None, (f"{trial.variant}:", trial.outcome, strategy, error, trial.reason[-300:])))


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
        "Generated by `make zoo` (`python scripts/zoo.py`). Do not edit this page by hand.",
        "",
        f"transformers has a causal language model for each of {len(outcomes)} model types. For each type, a tiny model is",
        "saved with a tokenizer, loaded by `chainrule.load`, and compared with its own unpadded forward in float32, one text",
        "at a time. The comparison covers prefix forests in chunks of 16 to 768 rows, batches of unequal length, windows,",
        f"single texts, real text, and texts of up to {LONG} tokens. All factors must agree to {TOLERANCE:g} nats, or to",
        f"{TOLERANCE:g} of their standard deviation if that is less than a nat. If float32 does not decide, the comparison is",
        "repeated in float64. Each type is tried in at least eight variants, with tied and untied heads and with each kind of",
        "tokenizer:",
        "",
        *(f"- {line}" for line in VARIANTS),
        "",
        f"The vocabulary of each model has {BEYOND} rows more than its tokenizer has tokens.",
        "",
        "| outcome | architectures | |",
        "|---|---:|---|",
        f"| forest | {count['forest']} | exact, every distinct context computed once |",
        f"| batch | {count['batch'] + count['single']} | exact, through the model's own forward; {count['single']} of them one "
        "sequence at a time |",
        f"| refused | {count['refused']} | with an error that gives the reason |",
        f"| {NOT_BUILT} | {count[NOT_BUILT]} | |",
        f"| wrong | {count['wrong']} | loaded, but a factor is wrong |",
        "",
        f"{date.today().isoformat()}, transformers {transformers.__version__}, torch {torch.__version__}, chainrule "
        f"{chainrule.__version__}, {sum(outcome.factors for outcome in scored):,} factors.",
        "",
        "| model type | class | outcome | largest error, nats | weak weights | trials | factors | head | thresholds |",
        "|---|---|---|---:|---:|---:|---:|---|---|",
        *(
            f"| {o.model_type} | {o.name} | {o.outcome} | {o.error:.0e} | {relative(o)} | {len(o.trials)} | {o.factors:,} | "
            f"{'; '.join(o.distinct('head'))} | {', '.join(dict.fromkeys(n for t in o.trials for n in t.thresholds))} |"
            for o in scored
        ),
        "",
        "Weak weights: the largest error in that variant, as a fraction of the standard deviation of the factors. Head:",
        "linear, computed by the readout, or the model's own code. Thresholds: numbers of the config that limit or switch",
        "something.",
        "",
        *wrong_trials(scored),
        "",
        "## Not scored",
        "",
        "| model type | class | outcome | reason |",
        "|---|---|---|---|",
        *(f"| {o.model_type} | {o.name} | {o.outcome} | {cell(o.reason)} |" for o in others),
        "",
        "## Reasons against the forest strategy",
        "",
        "| model type | finding of the probe |",
        "|---|---|",
        *(f"| {o.model_type} | {cell(o.reason)} |" for o in scored if o.outcome != "forest"),
    ]
    if undetermined := [(o, t) for o in scored for t in o.scored if "in float32" in t.reason]:
        lines += ["", "## Compared in float64", "", "Float32 does not determine these factors to the tolerance.", ""]
        lines += ["| trial | model type | |", "|---|---|---|"]
        lines += [
            f"| {t.variant} | {o.model_type} | {cell(t.reason[t.reason.rindex('in float32') :])} |" for o, t in undetermined
        ]
    return "\n".join(lines) + "\n"


def relative(outcome: Outcome) -> str:
    """The largest error with weak weights, in standard deviations of the factors."""
    return next((f"{t.error / t.spread:.0e}" for t in outcome.trials if t.variant == "weak" and t.spread), "")


def wrong_trials(outcomes: list[Outcome]) -> list[str]:
    wrong = [(o, t) for o in outcomes for t in o.trials if t.outcome == "wrong"]
    if not wrong:
        return []
    rows = [f"| {t.variant} | {o.model_type} | {t.path} | {t.error:.0e} | {cell(t.reason[-300:])} |" for o, t in wrong]
    return ["## Wrong", "", "| trial | model type | path | error, nats | |", "|---|---|---|---:|---|", *rows, ""]


def cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    main()
