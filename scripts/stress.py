"""Scores from many threads at a time, and calls that are interrupted: are numbers, models and the process as they must be?

python scripts/stress.py threads                            # 8 threads, 10,000 calls of every kind of model: a few minutes
python scripts/stress.py interrupts                         # 3,000 interrupts of each kind of model, by signals and at events
python scripts/stress.py threads --kinds masked,loading --calls 2000

Each kind runs in a process of its own, so that one that dies or hangs is an outcome and not the end. Exit code 1 where
anything was wrong; a run of all kinds is written down in benchmarks/results.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "benchmarks")]
for name, value in (("HF_HUB_OFFLINE", "1"), ("OMP_NUM_THREADS", "1")):  # tiny models are done before a second one wakes up
    os.environ.setdefault(name, value)

CALLS, INTERRUPTS = 10_000, 3_000
SECONDS = 300  # for one kind
TASKS = "everything by asyncio.to_thread"
PLAIN = " without kernels"  # PyTorch's own, as where there is no compiler
MARK = "result: "


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("threads", "interrupts"))
    parser.add_argument("--calls", type=int, help=f"calls in all ({CALLS:,}), or interrupts of each kind ({INTERRUPTS:,})")
    parser.add_argument("--kinds", help="these alone, with commas in between; the beginning of a name will do")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for one kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        return work(arguments)
    kinds = chosen(arguments)
    arguments.calls = arguments.calls or (-(-CALLS // len(kinds)) if arguments.what == "threads" else INTERRUPTS)
    begin, found = time.monotonic(), {}
    for kind in kinds:
        found[kind] = examined(kind, arguments)
        print(f"{kind}: {found[kind]['says']}", flush=True)
    total = totals(list(found.values()))
    print(f"in all: {total} in {time.monotonic() - begin:.0f} s")
    if arguments.out or not arguments.kinds:
        write(arguments, found, total)
    raise SystemExit(not all(outcome["passed"] for outcome in found.values()))


def chosen(arguments: argparse.Namespace) -> list[str]:
    from crowd import SCENES
    from strikes import SUBJECTS, WAYS

    if arguments.what == "threads":
        every = [*SCENES, TASKS, *(scene + PLAIN for scene in ("float32 and bfloat16", "everything"))]
    else:
        every = [f"{subject} ({way})" for subject in SUBJECTS for way in WAYS]
    if not arguments.kinds:
        return every
    names = [part.strip() for part in arguments.kinds.split(",")]
    found = [kind for kind in every if any(kind.startswith(name) for name in names)]
    if not found:
        raise SystemExit(f"there is no kind {arguments.kinds!r}; there are: {'; '.join(every)}")
    return found


def examined(kind: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """What came of one kind, in another process."""
    command = [sys.executable, __file__, arguments.what, "--worker", kind, "--calls", str(arguments.calls)]
    command += ["--seed", str(arguments.seed), "--seconds", str(arguments.seconds)]
    begin = time.monotonic()
    try:
        # Loading and the comparisons take their time besides; a process that hangs says where before it is killed.
        environment = os.environ | ({"CHAINRULE_NATIVE": "0"} if kind.endswith(PLAIN) else {})
        done = subprocess.run(command, capture_output=True, text=True, timeout=arguments.seconds + 90, env=environment)
    except subprocess.TimeoutExpired as error:
        return failed(f"hung for {time.monotonic() - begin:.0f} s", error.stderr)
    found = next((line for line in done.stdout.splitlines() if line.startswith(MARK)), None)
    if found is None:
        return failed(f"the process died (exit code {done.returncode})", done.stderr)
    return json.loads(found.removeprefix(MARK)) | {"seconds": round(time.monotonic() - begin, 1)}


def failed(what: str, errors: str | bytes | None) -> dict[str, Any]:
    said = (errors.decode(errors="replace") if isinstance(errors, bytes) else errors or "").strip()
    crashed = said.find("Fatal Python error")
    shown = said[crashed : crashed + 1500] if crashed >= 0 else said[-1500:]
    last = shown.splitlines()[0 if crashed >= 0 else -1] if shown else ""
    return {"passed": False, "died": what, "stderr": shown, "says": f"{what}: {last[:200]}"}


def work(arguments: argparse.Namespace) -> None:
    import faulthandler
    import warnings

    import torch
    import transformers

    faulthandler.enable()
    faulthandler.dump_traceback_later(arguments.seconds + 60, exit=True)
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    found = (threads if arguments.what == "threads" else interrupts)(arguments)
    outcome = vars(found) | {"passed": found.passed, "says": str(found)}
    print(MARK + json.dumps(outcome), flush=True)
    os._exit(0)  # threads of a trial may still hold what the interpreter wants to take down


def threads(arguments: argparse.Namespace) -> Any:
    from crowd import COST, trial

    scene, tasks = ("everything", True) if arguments.worker == TASKS else (arguments.worker.removesuffix(PLAIN), False)
    return trial(scene, int(arguments.calls * COST.get(scene, 1)), tasks=tasks)


def interrupts(arguments: argparse.Namespace) -> Any:
    from strikes import COST, SUBJECTS, WAYS, trial, unheard

    kind, _, way = arguments.worker.removesuffix(")").rpartition(" (")
    share = COST.get(kind.partition(",")[0], 1) if "," in kind or kind in COST else 1
    with unheard():
        subject = SUBJECTS[kind]()
        return trial(subject, WAYS[way], int(arguments.calls * share), seed=arguments.seed, seconds=arguments.seconds)


def totals(found: list[dict[str, Any]]) -> str:
    count: Counter[str] = Counter()
    for outcome in found:
        count.update({key: value for key, value in outcome.items() if type(value) is int and key != "passed"})
        count["errors"] += sum(outcome.get("errors", {}).values())
        count["kinds wrong"] += not outcome["passed"]
        count["died or hung"] += "died" in outcome
    return ", ".join(f"{number:,} {name}" for name, number in count.items() if number or name != "errors")


def write(arguments: argparse.Namespace, found: dict[str, Any], total: str) -> None:
    import platform

    import torch
    import transformers
    from machine import describe

    import chainrule

    result = {
        "date": date.today().isoformat(),
        "machine": describe(),
        "versions": {
            "chainrule": chainrule.__version__,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "python": platform.python_version(),
        },
        "calls" if arguments.what == "threads" else "interrupts": arguments.calls,
        "seed": arguments.seed,
        "total": total,
        "kinds": {kind: {k: v for k, v in outcome.items() if k != "says"} for kind, outcome in found.items()},
    }
    out = arguments.out or RESULTS / f"{arguments.what}-{date.today().isoformat()}.json"
    out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"written: {out}")


if __name__ == "__main__":
    main()
