"""Scores from many threads at once, and interrupted calls: numbers, models and the process must be unaffected.

python scripts/stress.py threads                 # 8 threads, 12,000 calls, every kind of model: a few minutes
python scripts/stress.py interrupts              # 3,000 interrupts of each kind of model, by signals and at events
python scripts/stress.py threads --kinds masked,loading --calls 2000

Each kind runs in a separate process: a crash or a hang is an outcome and does not end the run. Exit code 1: there are failures.
The results of a run of all kinds are written to benchmarks/results. Linux and macOS.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import multiprocessing
import os
import sys
import tempfile
import time
import warnings
from collections import Counter
from datetime import date
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"  # a second thread costs more than tiny models take, and a fork loses no threads

import interrupt_trial
import interrupts
import thread_trial
import torch
import transformers
from machine import describe

import chainrule

RESULTS = Path(__file__).resolve().parent.parent / "benchmarks" / "results"
CALLS, INTERRUPTS = 12_000, 3_000
SECONDS = 300  # for one kind
TASKS = "everything by asyncio.to_thread"
PLAIN = " without kernels"  # with PyTorch's own kernels, as without a compiler
SCENARIOS = [*thread_trial.SCENARIOS, TASKS, *(name + PLAIN for name in ("float32 and bfloat16", "everything"))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("threads", "interrupts"))
    parser.add_argument("--calls", type=int, help=f"calls in all ({CALLS:,}), or interrupts of each kind ({INTERRUPTS:,})")
    parser.add_argument("--kinds", help="only these kinds, separated by commas; prefixes of names are enough")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="time limit for one kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--methods", default=",".join(interrupts.METHODS), help="the methods of interrupting")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    kinds = selected(arguments)
    arguments.calls = arguments.calls or (-(-CALLS // len(kinds)) if arguments.what == "threads" else INTERRUPTS)
    begin, outcomes = time.monotonic(), {}
    for kind in kinds:
        outcomes[kind] = examined(kind, arguments)
        print(f"{kind}: {outcomes[kind]['says']}", flush=True)
    total = totals(list(outcomes.values()))
    print(f"in all: {total} in {time.monotonic() - begin:.0f} s")
    if arguments.out or not arguments.kinds:
        write(arguments, outcomes, total)
    raise SystemExit(not all(outcome["passed"] for outcome in outcomes.values()))


def selected(arguments: argparse.Namespace) -> list[str]:
    every = SCENARIOS if arguments.what == "threads" else list(interrupt_trial.SCENARIOS)
    if not arguments.kinds:
        return every
    names = [part.strip() for part in arguments.kinds.split(",")]
    kinds = [kind for kind in every if any(kind.startswith(name) for name in names)]
    if not kinds:
        raise SystemExit(f"no kind begins with any of {arguments.kinds!r}; kinds: {'; '.join(every)}")
    return kinds


def examined(kind: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """The outcome of one kind, in another process."""
    context = multiprocessing.get_context("fork")  # a fork is safe here: no thread and no product has run yet
    here, there = context.Pipe(duplex=False)
    begin = time.monotonic()
    with tempfile.TemporaryFile("w+") as errors:
        process = context.Process(target=work, args=(kind, arguments, there, errors.fileno()), daemon=True)
        process.start()
        there.close()
        try:
            outcome = here.recv() if here.poll(arguments.seconds + 90) else None
        except EOFError:
            outcome = None
        process.join(None if outcome else 5)
        if outcome is None:
            what = f"hung for {time.monotonic() - begin:.0f} s" if process.exitcode is None else f"died ({process.exitcode})"
            errors.seek(0)
            outcome = failed(what, errors.read().strip())
        process.kill()
        process.join()
    return outcome | {"seconds": round(time.monotonic() - begin, 1)}


def failed(what: str, errors: str) -> dict[str, Any]:
    crashed = next((i for i in map(errors.find, ("Fatal Python error", "Timeout (")) if i >= 0), -1)
    shown = errors[crashed : crashed + 1500] if crashed >= 0 else errors[-1500:]
    last = shown.splitlines()[0 if crashed >= 0 else -1] if shown else ""
    return {"passed": False, "died": what, "stderr": shown, "says": f"the process {what}: {last[:200]}"}


def work(kind: str, arguments: argparse.Namespace, there: Connection, errors: int) -> None:
    os.dup2(errors, 2)
    faulthandler.enable()
    faulthandler.dump_traceback_later(arguments.seconds + 60, exit=True)
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    if kind.endswith(PLAIN):
        os.environ["CHAINRULE_NATIVE"] = "0"
    torch.set_num_threads(1)
    result = (run_threads if arguments.what == "threads" else run_interrupts)(kind, arguments)
    there.send(vars(result) | {"passed": result.passed, "says": str(result)})
    os._exit(0)  # threads of a trial may still use objects that the interpreter would destroy


def run_threads(kind: str, arguments: argparse.Namespace) -> thread_trial.Tally:
    scenario = "everything" if kind == TASKS else kind.removesuffix(PLAIN)
    calls = int(arguments.calls * thread_trial.SHARES.get(scenario, 1))
    return thread_trial.trial(scenario, calls, tasks=kind == TASKS)


def run_interrupts(kind: str, arguments: argparse.Namespace) -> interrupt_trial.Damage:
    methods = arguments.methods.split(",")
    count = arguments.calls * interrupt_trial.share(kind) / len(methods)
    total = interrupt_trial.Damage()
    with interrupts.unraisable_errors():
        for method in methods:
            total.add(
                interrupt_trial.trial(
                    interrupt_trial.SCENARIOS[kind](),
                    interrupts.METHODS[method],
                    round(count),
                    seed=arguments.seed,
                    seconds=arguments.seconds / len(methods),
                )
            )
    return total


def totals(outcomes: list[dict[str, Any]]) -> str:
    count: Counter[str] = Counter()
    for outcome in outcomes:
        count.update({key: value for key, value in outcome.items() if type(value) is int and key != "passed"})
        count["errors"] += sum(outcome.get("errors", {}).values())
        count["kinds wrong"] += not outcome["passed"]
        count["died or hung"] += "died" in outcome
    return ", ".join(f"{number:,} {name}" for name, number in count.items() if number or name != "errors")


def write(arguments: argparse.Namespace, outcomes: dict[str, Any], total: str) -> None:
    result = {
        "date": date.today().isoformat(),
        "machine": describe(),
        "versions": {
            "chainrule": chainrule.__version__,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
        "calls" if arguments.what == "threads" else "interrupts": arguments.calls,
        "seed": arguments.seed,
        "total": total,
        "kinds": {kind: {k: v for k, v in outcome.items() if k != "says"} for kind, outcome in outcomes.items()},
    }
    out = arguments.out or RESULTS / f"{arguments.what}-{date.today().isoformat()}.json"
    out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"written to {out}")


if __name__ == "__main__":
    main()
