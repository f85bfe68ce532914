"""Measure chainrule and its peers. The systems alternate in one run, on the same texts and the same model.

    .venv/bin/python benchmarks/setup_peers.py      # once
    .venv/bin/python benchmarks/run.py              # everything: allow 50 minutes on two cores, 60 with vLLM
    .venv/bin/python benchmarks/run.py --workloads flat flat-bf16 long long-bf16 mixed busy  # 35 minutes with vLLM
    .venv/bin/python benchmarks/run.py --avx2       # no instructions beyond AVX2; results to DATE-avx2.json
    .venv/bin/python benchmarks/run.py --quick      # a short test run of everything, one round

Each system is a process for each dtype, which loads its model once and warms up. The rounds then go A B C A B C …, so a slower
phase of the
machine affects all systems, and each round gives its own ratio. Results go to ``benchmarks/results/DATE.json``, tables to
``DATE.md``.
"""

import argparse
import json
import shlex
import sys
import time
from contextlib import ExitStack, nullcontext
from datetime import date
from pathlib import Path

from machine import describe, fingerprint
from report import render_tables
from summary import disagree, summary
from systems import ALL, BENCH, HERE, PEERS, SYSTEMS, Busy, System, Worker, available
from tokenizers import Tokenizer
from workloads import Workload, build

# Rounds of a workload, and of single systems that are slow or only for comparison.
ROUNDS = {"flat": 3, "flat-bf16": 3, "long": 2, "long-bf16": 2, "mixed": 2, "busy": 2, "book": 2, "candidates": 3}
ROUNDS |= {"questions": 2, "nbest": 3}
ROUNDS |= {"flat:transformers_single": 1, "flat:minicons": 2, "flat:minicons_sorted": 1, "flat:llama_cpp": 1}
ROUNDS |= {"candidates:lm_eval": 1}


def main() -> None:
    arguments = parse()
    result = {"date": date.today().isoformat(), "command": command(arguments.model, "run.py"), "machine": describe()}
    result |= {"model": {"name": arguments.model.name, "sha256": fingerprint(arguments.model)}}
    result |= {"threads": arguments.threads, "avx2": arguments.avx2, "packages": {}, "workloads": {}}
    tokenizer, size = Tokenizer.from_file(str(arguments.model / "tokenizer.json")), "quick" if arguments.quick else "peers"
    known: dict[str, list[float]] = {}
    workloads = [build(name, tokenizer, size) for name in arguments.workloads]
    for dtype in dict.fromkeys(workload.dtype for workload in workloads):
        with ExitStack() as running:  # some take minutes to start: one process for all workloads of a dtype
            workers: dict[str, Worker] = {}
            for workload in (workload for workload in workloads if workload.dtype == dtype):
                answers = measure(workload, arguments, result["packages"], workers, running)
                result["workloads"][workload.name] = summary(workload, answers, refer(workload, answers, arguments, known))
    result["workloads"] = {workload.name: result["workloads"][workload.name] for workload in workloads}
    write(result, arguments.out)
    disagreements = [line for name, measured in result["workloads"].items() for line in disagree(name, measured)]
    if disagreements:
        raise SystemExit("\n".join(disagreements))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="folder of the model (default: chainrule's own smollm2-135m)")
    parser.add_argument("--workloads", nargs="+", default=list(ALL), choices=list(ALL), metavar="WORKLOAD")
    parser.add_argument("--systems", nargs="+", default=list(SYSTEMS), choices=list(SYSTEMS), metavar="SYSTEM")
    parser.add_argument("--rounds", nargs="+", default=[], metavar="WORKLOAD[:SYSTEM]=N", help=f"default: {ROUNDS}")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--peers", type=Path, default=PEERS, help="the peers' environment (default: .bench/peers)")
    parser.add_argument("--quick", action="store_true", help="a short test run of everything, one round; written to .bench/")
    parser.add_argument("--avx2", action="store_true", help="measure all systems without instructions beyond AVX2")
    parser.add_argument("--out", type=Path, help="the .json to write (default: benchmarks/results/DATE.json)")
    arguments = parser.parse_args()
    arguments.model = existing(arguments.model or default_model())
    arguments.rounds = {key: int(n) for key, n in (item.split("=") for item in arguments.rounds)}
    day = HERE / "results" / f"{date.today().isoformat()}{'-avx2' if arguments.avx2 else ''}.json"
    arguments.out = arguments.out or (BENCH / "quick.json" if arguments.quick else day)
    return arguments


def default_model() -> Path:
    try:
        from chainrule.models.packaged import folder
    except ImportError as error:
        raise SystemExit(f"chainrule can't be imported ({error}): run this with .venv/bin/python") from error
    return Path(folder("smollm2-135m"))


def existing(model: Path) -> Path:
    if not (model / "tokenizer.json").exists():
        raise SystemExit(f"no model in {model}: run `chainrule pull smollm2-135m`, or name a folder with --model")
    return model.resolve()


def command(model: Path, script: str) -> str:
    """The command line, without the paths of this machine."""
    words = [model.name if Path(word).resolve() == model else Path(word).name for word in sys.argv[1:]]
    return shlex.join(["python", f"benchmarks/{script}", *words])


def measure(
    workload: Workload, arguments: argparse.Namespace, packages: dict, workers: dict[str, Worker], running: ExitStack
) -> dict[str, list[dict]]:
    """Start the systems that are not among ``workers``, and run the rounds in alternation. Returns the answers of each system,
    round by round."""
    facts = ", ".join(f"{value:,} {name.replace('_', ' ')}" for name, value in workload.facts.items())
    say(f"{workload.name}: {workload.tokens:,} tokens a round ({facts})")
    systems = [SYSTEMS[name] for name in arguments.systems if workload.name in SYSTEMS[name].workloads]
    absent = [system for system in systems if system.optional and not available(system, arguments.peers)]
    for system in absent:
        say(f"{workload.name}: {system.module} is left out, because its environment is missing (see setup_peers.py)")
    present = [system.module for system in systems if system not in absent]
    for name in present:
        if name not in workers:
            workers[name] = running.enter_context(start(SYSTEMS[name], workload, arguments))
        workers[name].ask(workload.method, **workload.warmup)
    packages |= {worker.system.environment: worker.packages for worker in workers.values()}
    with Busy() if workload.busy else nullcontext():
        return alternate([workers[name] for name in present], workload, arguments)


def start(system: System, workload: Workload, arguments: argparse.Namespace) -> Worker:
    say(f"{workload.name}: {system.module} starts")
    return Worker(system, arguments.model, arguments.threads, arguments.peers, workload.dtype, arguments.avx2)


def alternate(workers: list[Worker], workload: Workload, arguments: argparse.Namespace) -> dict[str, list[dict]]:
    rounds = {worker: rounds_of(workload.name, worker.system.module, arguments) for worker in workers}
    answers = {worker.system.module: [] for worker in workers}
    for turn in range(max(rounds.values(), default=0)):
        for worker in (worker for worker in workers if turn < rounds[worker]):
            answer = worker.ask(workload.method, **workload.request)
            answers[worker.system.module].append(answer)
            rate = f"{answer['seconds']:8.2f} s {workload.tokens / answer['seconds']:8,.0f} tokens/s"
            say(f"{workload.name}: round {turn + 1} of {rounds[worker]}  {worker.system.module:20}{rate}")
    return answers


def refer(
    workload: Workload, answers: dict[str, list[dict]], arguments: argparse.Namespace, known: dict[str, list[float]]
) -> list[float] | None:
    """The reference answers, requested without timing if no round gave them; None if their system is not measured.

    ``known`` caches requested answers, which workloads may share.
    """
    system, method = workload.reference
    if system not in arguments.systems:
        return None
    if workload.measured_by(system):
        return answers[system][0]["logprobs"]
    key = json.dumps([system, method, workload.request])
    if key not in known:
        say(f"{workload.name}: {system} computes the reference (not timed)")
        with Worker(SYSTEMS[system], arguments.model, arguments.threads, arguments.peers) as worker:
            known[key] = worker.ask(method, **workload.request)["logprobs"]
    return known[key]


def rounds_of(workload: str, system: str, arguments: argparse.Namespace) -> int:
    if arguments.quick:
        return 1
    rounds = {**ROUNDS, **arguments.rounds}
    return rounds.get(f"{workload}:{system}", rounds[workload])


def write(result: dict, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    tables = render_tables(result)
    path.with_suffix(".md").write_text(tables, encoding="utf-8")
    say(f"wrote {path} and {path.with_suffix('.md').name}")
    print(tables)


def say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
