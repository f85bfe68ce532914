"""Kill chainrule at random moments, run the same command again, and count wrong, lost and leftover files.

    .venv/bin/python benchmarks/kills.py                 # 25 of each kind: allow 20 minutes; pull downloads 93 MB
    .venv/bin/python benchmarks/kills.py --kind score    # score, verify, compile or pull

Each run has its own home, cache, temporary folder and output folder. `kill -9` ends the one process; its child processes
continue. After each kill the output file must be the earlier one or the new one, complete. The next run must succeed, give the
bytes of an undisturbed run, and leave no other files in any of the folders. Pulls are killed one after another in one cache:
there must never be more than one leftover, and none after the last run, which is not killed. Exit code 1: there are failures.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tally import report_outcomes
from texts import fortunes

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

MODEL = "smollm2-135m"
CHAINRULE = [sys.executable, "-c", "from chainrule.cli.main import main; main()"]
COMPILE = [sys.executable, "-c", "from chainrule.ops.library.build import status; assert status(), status().reason"]
EARLIER = b"chainrule code 1\nand more of an earlier result\n"  # verify overwrites only files of its own format


class RunFolders:
    """The folders that a run may write to."""

    def __init__(self, root: Path, shared: Path) -> None:
        self.root, self.out = root, root / "out"
        for name in ("home", "cache", "tmp", "out"):
            (root / name).mkdir(parents=True)
        own = {
            "HOME": root / "home",
            "CHAINRULE_CACHE": root / "cache",
            "TMPDIR": root / "tmp",
            "PIP_CACHE_DIR": shared / "pip",
        }
        self.environment = os.environ | {name: str(path) for name, path in own.items()} | {"OMP_NUM_THREADS": "1"}

    def start(self, command: list[str], **more: str) -> subprocess.Popen:
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, cwd=self.root, env=self.environment | more, **quiet)

    def finish(self, command: list[str], **more: str) -> Iterator[str]:
        """Run to the end. Yields the failure, if any."""
        process = self.start(command, **more)
        errors = process.communicate()[1].decode(errors="replace")
        if process.returncode:
            yield f"the run ended with {process.returncode}: {errors.strip()[-300:]}"

    def files(self) -> dict[str, str]:
        """Digests of all files, and all empty folders, in the folders that a run writes to."""
        paths = [path for name in ("cache", "tmp", "out") for path in (self.root / name).rglob("*")]
        return {
            str(path.relative_to(self.root)): digest(path.read_bytes()) if path.is_file() else "a folder"
            for path in paths
            if path.is_file() or not any(path.iterdir())
        }


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Kind:
    """A command whose result is one file or a few, written whole."""

    def __init__(self, name: str, shared: Path) -> None:
        self.name, self.shared, self.tries = name, shared, 0
        self.command, self.result, self.more = self.spec()
        folders = self.new_folders()
        begin = time.monotonic()
        wrong = list(folders.finish(self.command, **self.more))
        self.seconds, self.expected = time.monotonic() - begin, folders.files()
        if wrong:
            raise SystemExit(f"{name}, undisturbed: {wrong[0]}")
        print(f"{name}: undisturbed in {self.seconds:.1f} s, leaves {', '.join(sorted(self.expected))}", flush=True)

    def spec(self) -> tuple[list[str], str | None, dict[str, str]]:
        """The command, the output file that may exist before, and the environment."""
        model = ["--model", str(self.shared / "whole")]
        plain = {"CHAINRULE_NATIVE": "0"}  # the compiler would take most of the time
        if self.name == "score":
            texts = [*CHAINRULE, "score", "--file", str(self.shared / "texts.jsonl")]
            return [*texts, "--per", "token", "-o", "out/scores.csv", *model], "out/scores.csv", plain
        if self.name == "verify":
            text = [*CHAINRULE, "verify", "--code", str(self.shared / "text.txt")]
            return [*text, "-o", "out/code", *model], "out/code", plain
        return (COMPILE if self.name == "compile" else [*CHAINRULE, "pull"]), None, {}

    def new_folders(self) -> RunFolders:
        self.tries += 1
        return RunFolders(self.shared / f"{self.name}-{self.tries}", self.shared)

    def kill(self, folders: RunFolders) -> bool:
        """Start it and kill it at a random moment, after a fifth of the time (Python's own start). Whether it was running."""
        process = folders.start(self.command, **self.more)
        time.sleep(self.seconds * random.uniform(0.2, 1))
        running = process.poll() is None
        process.kill()
        process.communicate()
        return running

    def attempt(self, number: int) -> Iterator[str]:
        """The failures after one kill, and after the next run."""
        folders, before = self.new_folders(), self.result if number % 2 else None
        if before:
            (folders.root / before).write_bytes(EARLIER)
        running = self.kill(folders)
        if before and folders.files().get(before) not in (digest(EARLIER), self.expected[before]):
            yield f"the earlier {before} is lost or mixed after the kill"
        if not running and folders.files() != self.expected:
            yield "it ended before the kill, with another result"
        yield from folders.finish(self.command, **self.more)
        yield from self.differences(folders)
        shutil.rmtree(folders.root)

    def differences(self, folders: RunFolders) -> Iterator[str]:
        files = folders.files()
        for name in sorted(files.keys() | self.expected.keys()):
            if files.get(name) != self.expected.get(name):
                state = (
                    "is left over" if name not in self.expected else "is missing" if name not in files else "has other bytes"
                )
                yield f"{name} {state}"


class Pulls(Kind):
    """Pulls, killed one after another in one cache, since a full run takes half a minute."""

    def __init__(self, name: str, shared: Path) -> None:
        super().__init__(name, shared)
        begin = time.monotonic()
        list(self.new_folders().finish(self.command))  # from now on the wheel is in pip's own cache
        self.seconds = time.monotonic() - begin
        self.folders = self.new_folders()
        self.model = self.folders.root / "cache" / "models" / MODEL

    def attempt(self, number: int) -> Iterator[str]:
        self.kill(self.folders)
        left = list((self.folders.root / "cache").glob("models/.pull-*"))
        if len(left) > 1:
            yield f"{len(left)} leftovers: {', '.join(path.name for path in left)}"
        if self.model.exists():
            whole = {path.name for path in self.model.iterdir()} == {Path(n).name for n in self.expected if MODEL in n}
            if not whole:
                yield "the model folder is incomplete"
            shutil.rmtree(self.model)

    def last(self) -> Iterator[str]:
        yield from self.folders.finish(self.command)
        yield from self.differences(self.folders)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", type=int, default=25, help="kills of each kind")
    parser.add_argument("--kind", action="append", choices=["score", "verify", "compile", "pull"])
    parser.add_argument("--output", type=Path, help="a file for the outcomes, as JSON")
    arguments = parser.parse_args()
    from damaged import sound

    with tempfile.TemporaryDirectory(prefix="kills-") as scratch:
        shared = Path(scratch).resolve()
        sound(shared)
        texts = fortunes()
        (shared / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts * 2))
        (shared / "text.txt").write_text("\n".join(texts[:4]))
        names = arguments.kind or ["score", "verify", "compile", "pull"]
        failed = {name: run(name, shared, arguments.each) for name in names}
    failures = [failure | {"kind": name} for name, wrong in failed.items() for failure in wrong]
    table = {name: {"tries": arguments.each, "failures": len(wrong)} for name, wrong in failed.items()}
    raise SystemExit(report_outcomes(table, failures, arguments.output))


def run(name: str, shared: Path, each: int) -> list[dict[str, object]]:
    """The failures, each with the number of its kill."""
    kind = Pulls(name, shared) if name == "pull" else Kind(name, shared)
    failures = []
    for number in range(each):
        for failure in kind.attempt(number):
            failures.append({"try": number, "what": failure})
            print(f"{name} {number}: {failure}", flush=True)
    if isinstance(kind, Pulls):
        for failure in kind.last():
            failures.append({"try": each, "what": failure})
            print(f"{name}, the run after the last kill: {failure}", flush=True)
    return failures


if __name__ == "__main__":
    main()
