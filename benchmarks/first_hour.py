"""How long a new user waits, with two versions of chainrule. They alternate, each command in a new process.

git worktree add ../before COMMIT
python benchmarks/first_hour.py ../before [--rounds 5] [--gguf FILE]

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
}
GGUF = "a .gguf file, second run"


def timed(tree: Path, arguments: list[str], cache: Path | None = None) -> float:
    """Seconds of one command with the code of this checkout."""
    own = os.environ | {"PYTHONPATH": str(tree / "src")} | ({"CHAINRULE_CACHE": str(cache)} if cache else {})
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", ENTRY, *arguments], capture_output=True, check=False, env=own)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", type=Path, help="a checkout of the version before")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--gguf", help="a .gguf file, which is scored twice with an empty cache")
    arguments = parser.parse_args()
    trees = {"before": arguments.before.resolve(), "after": HERE.parent}
    commands = COMMANDS | ({GGUF: ["score", "-m", arguments.gguf, SENTENCE]} if arguments.gguf else {})
    runs: dict[str, dict[str, list[float]]] = {name: {"before": [], "after": []} for name in commands}
    with tempfile.TemporaryDirectory() as cache:
        for name, command in commands.items():
            own = Path(cache) if name == GGUF else None
            if own:
                timed(trees["after"], command, own)  # the conversion
            for turn in range(arguments.rounds):
                for version in list(trees)[:: 1 if turn % 2 else -1]:
                    runs[name][version].append(timed(trees[version], command, own))
            before, after = (statistics.median(runs[name][version]) for version in trees)
            print(f"{name:28} {before:7.2f} s before {after:7.2f} s after", flush=True)
    gguf = " --gguf FILE" if arguments.gguf else ""
    kept = {"command": f"python benchmarks/first_hour.py BEFORE --rounds {arguments.rounds}{gguf}"}
    kept |= {"date": str(datetime.date.today()), "seconds": runs, "machine": machine.describe()}
    target = HERE / "results" / f"first-hour-{datetime.date.today()}.json"
    target.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
