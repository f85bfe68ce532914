"""Kill runs over a corpus at random moments, go on until each is finished, and compare the rows with an unbroken run.

    .venv/bin/python benchmarks/corpus_kills.py                 # 100 runs: about 20 minutes
    .venv/bin/python benchmarks/corpus_kills.py --runs 5

Each run has a folder of its own. It is started again and again, with one worker or two, and killed by `kill -9` at a random
moment: the run itself, one of its workers, or all processes at once. After some kills it is left to finish. Its rows must be
those of a run that nobody disturbed, bit for bit: none twice, none missing, no other files. Exit code 1: there are failures.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tally import report_outcomes
from texts import fortunes

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from corpora import kill_at_random, leftovers, rows_of, start, write_corpus  # noqa: E402

KILLS = 4  # of a run, at most


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, help="a file for the outcomes, as JSON")
    arguments = parser.parse_args()
    from damaged import sound

    with tempfile.TemporaryDirectory(prefix="corpus-kills-") as scratch:
        folder = Path(scratch).resolve()
        sound(folder)
        files = write_corpus(folder / "corpus", [f"{n}. {text}" for n in range(4) for text in fortunes()])
        trial = Trial(folder, [*files, "--model", str(folder / "whole"), "--keep", "all", "--per", "both"])
        failures = []
        for number in range(arguments.runs):
            for failure in trial.attempt(number, random.Random(1000 * arguments.seed + number)):
                failures.append({"try": number, "what": failure})
                print(f"run {number}: {failure}", flush=True)
            if number % 10 == 9:
                print(f"{number + 1} runs, {dict(trial.kills)}, {len(failures)} failures", flush=True)
    table = {"corpus": {"tries": arguments.runs, "failures": len(failures), "kills": trial.kills.total()}}
    raise SystemExit(report_outcomes(table, failures, arguments.output, kills=dict(trial.kills)))


class Trial:
    """The command, and the rows of an unbroken run with one worker."""

    def __init__(self, folder: Path, inputs: list[str]) -> None:
        self.folder, self.inputs, self.kills = folder, inputs, Counter()
        begin = time.monotonic()
        if wrong := list(self.finish("unbroken", 1)):
            raise SystemExit(f"the unbroken run: {wrong[0]}")
        self.seconds, self.expected = time.monotonic() - begin, rows_of(folder / "unbroken")
        self.parts = len(list((folder / "unbroken").glob("part-*")))
        print(f"unbroken in {self.seconds:.1f} s: {self.expected.num_rows} rows in {self.parts} parts", flush=True)

    def command(self, name: str, workers: int) -> list[str]:
        return ["corpus", *self.inputs, "-o", str(self.folder / name), "--workers", str(workers), "--part-size", "1500"]

    def finish(self, name: str, workers: int) -> Iterator[str]:
        process = start(self.command(name, workers))
        errors = process.communicate(timeout=300)[1]
        if process.returncode != 1:  # some documents cannot be scored
            yield f"it ended with {process.returncode}: {errors.strip()[-300:]}"

    def attempt(self, number: int, rng: random.Random) -> Iterator[str]:
        """The failures of one run that is killed several times, and then finished."""
        name, out = f"run-{number}", self.folder / f"run-{number}"
        for _ in range(rng.randint(1, KILLS)):
            self.kills[kill_at_random(self.command(name, rng.randint(1, 2)), out, self.seconds, self.parts, rng)] += 1
        yield from self.finish(name, rng.randint(1, 2))
        rows = rows_of(out)
        if not rows.equals(self.expected):
            yield f"{rows.num_rows} rows of {self.expected.num_rows}, or other values"
        if left := leftovers(out):
            yield f"left over: {', '.join(left)}"
        if json.loads((out / "_manifest.json").read_text())["part_size"] != 1500:
            yield "another size of part"


if __name__ == "__main__":
    main()
