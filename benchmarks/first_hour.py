"""How long a new user waits, with two versions of chainrule. They alternate, each command in a new process.

Seconds by the clock, and processor seconds, which other programs on the machine change less.

git worktree add ../before COMMIT
python benchmarks/first_hour.py ../before [--rounds 5] [--gguf FILE] [--only="score, one sentence"]

Without a network, a mistyped hub id takes as long as the attempt to reach the hub.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import machine

HERE = Path(__file__).resolve().parent
ENTRY = "from chainrule.cli.main import main; main()"
SENTENCE = "It is raining. I need an umbrella."

FIRST = "score, one sentence, probed"
COMMANDS = {
    "--help": ["--help"],
    "score --help": ["score", "--help"],
    "--version": ["--version"],
    "a mistyped packaged model": ["score", "-m", "smollm2-153m", SENTENCE],
    "a mistyped hub id": ["score", "-m", "nobody/smollm-153m", SENTENCE],
    "a missing file": ["score", "--file", "no-such-file.csv"],
    "models": ["models"],
    "pull, if the model is ready": ["pull"],
    "score, one sentence": ["score", SENTENCE],
    FIRST: ["score", SENTENCE],
}
GGUF = "a .gguf file, second run"


def timed(tree: Path, arguments: list[str], extra: dict[str, str]) -> tuple[float, float]:
    """Seconds and processor seconds of one command with the code of this checkout, with extra environment variables."""
    own = os.environ | {"PYTHONPATH": str(tree / "src")} | extra
    began, before = time.perf_counter(), os.times()
    subprocess.run([sys.executable, "-c", ENTRY, *arguments], capture_output=True, check=False, env=own)
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - began, used


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", type=Path, help="a checkout of the version before")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--gguf", help="a .gguf file, which is scored twice with an empty cache")
    parser.add_argument("--only", action="append", help="one of the commands, by its name in the output; may be repeated")
    arguments = parser.parse_args()
    trees = {"before": arguments.before.resolve(), "after": HERE.parent}
    commands = COMMANDS | ({GGUF: ["score", "-m", arguments.gguf, SENTENCE]} if arguments.gguf else {})
    commands = {name: command for name, command in commands.items() if arguments.only is None or name in arguments.only}
    seconds: dict[str, dict[str, list[float]]] = {name: {"before": [], "after": []} for name in commands}
    processor: dict[str, dict[str, list[float]]] = {name: {"before": [], "after": []} for name in commands}
    with tempfile.TemporaryDirectory() as cache:
        for name, command in commands.items():
            extra = {GGUF: {"CHAINRULE_CACHE": cache}, FIRST: {"CHAINRULE_PROBE": "always"}}.get(name, {})
            for version in trees:  # byte code, a conversion, findings
                timed(trees[version], command, extra)
            for turn in range(arguments.rounds):
                for version in list(trees)[:: 1 if turn % 2 else -1]:
                    taken = timed(trees[version], command, extra)
                    seconds[name][version].append(taken[0])
                    processor[name][version].append(taken[1])
            medians = [statistics.median(runs[name][version]) for runs in (seconds, processor) for version in trees]
            print("{:28} {:7.2f} s before {:7.2f} s after; processor {:7.2f} s {:7.2f} s".format(name, *medians), flush=True)
    gguf = " --gguf FILE" if arguments.gguf else ""
    kept = {"command": f"python benchmarks/first_hour.py BEFORE --rounds {arguments.rounds}{gguf}"}
    kept |= {
        "date": str(datetime.date.today()),
        "seconds": seconds,
        "processor_seconds": processor,
        "machine": machine.describe(),
    }
    only = "-start" if arguments.only else ""
    target = HERE / "results" / f"first-hour{only}-{datetime.date.today()}.json"
    target.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
