"""Load damaged and hostile checkpoints, and count the failures.

    .venv/bin/python benchmarks/damaged_checkpoints.py              # 200 of each kind: allow 10 minutes
    .venv/bin/python benchmarks/damaged_checkpoints.py --each 8     # a few of each kind
    .venv/bin/python benchmarks/damaged_checkpoints.py --strace     # also check all files that the process opens

Each checkpoint (``tests/damaged.py``) is loaded by ``chainrule.load`` in a worker process, and scores a text if it loads.
Failures: an error that is not chainrule's own or has several lines, a crash, a load of more than 30 seconds or 2 GiB, and an
opened file outside the checkpoint, Python's folders and chainrule's cache. Damage to weights may go unnoticed: a model that
loads is no failure. Exit code 1: there are failures.
"""

import argparse
import multiprocessing
import os
import re
import shlex
import shutil
import signal
import sys
import tempfile
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path

from tally import report_outcomes

os.environ["HF_HUB_OFFLINE"] = "1"  # before anything imports the hub's client
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

START = os.getcwd()
SECONDS = 30
MOST_BYTES = 2 << 30
TEXT = "Hello world, how are you?"
SYSTEM = (
    "/proc/",
    "/sys/",
    "/dev/null",
    "/dev/urandom",
    "/lib",
    "/usr/lib",
    "/usr/share",
    "/usr/local/lib",
    "/etc/ld.so",
    "/etc/localtime",
)
OPENED = re.compile(r'open(?:at)?\((?:AT_FDCWD, )?"([^"]+)".*= \d+')


class Worker:
    """A worker process: a crash or a hang is an outcome and does not end the run."""

    def __init__(self, root: Path, trace: bool) -> None:
        context = multiprocessing.get_context("spawn")
        if trace:
            context.set_executable(str(tracing(root)))
        self.here, there = context.Pipe()
        self.process = context.Process(target=work, args=(there, root), daemon=True)
        self.process.start()
        there.close()
        self.pid = self.here.recv()  # under strace, not the id of the started process

    def ask(self, checkpoint: Path) -> tuple[str, str]:
        """The outcome of a checkpoint, and its reason."""
        self.here.send(checkpoint)
        try:
            return self.here.recv() if self.here.poll(SECONDS) else ("failed", f"it took more than {SECONDS} s")
        except EOFError:
            return "failed", "the process died"

    def stop(self) -> None:
        self.here.close()  # this ends the worker, unless it hangs
        self.process.join(3)
        if self.process.is_alive():
            os.kill(self.pid, signal.SIGKILL)
            self.process.join()


def work(requests: Connection, root: Path) -> None:
    """Load and score the requested checkpoints until the connection is closed."""
    import torch
    from opened import record_opened

    torch.set_num_threads(1)  # a second thread costs more than tiny models take
    os.chdir(root / "outside")  # a file opened by its name alone would be found here
    allowed, opened = [*SYSTEM, *own_folders()], []
    for sound in (root / "whole", root / "shards", root / "gguf" / "tiny.gguf"):
        if attempt(sound, opened, [*allowed, str(root)])[0] != "scored":
            raise SystemExit(f"{sound} is undamaged but does not load")
    record_opened(opened.append)
    (root / "marker").open().close()
    requests.send(os.getpid())
    while True:
        try:
            checkpoint = requests.recv()
        except EOFError:
            return
        requests.send(attempt(checkpoint, opened, [*allowed, str(checkpoint)]))


def own_folders() -> list[str]:
    """The folders of Python, its packages, chainrule and its cache."""
    from chainrule.cache_dir import cache_folder

    return [*{str(Path(path).resolve()) for path in (sys.prefix, sys.base_prefix, ROOT / "src")}, str(cache_folder())]


def attempt(checkpoint: Path, opened: list[str], allowed: list[str]) -> tuple[str, str]:
    import chainrule

    opened.clear()
    before = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # resets the high-water mark
    try:
        outcome, message = "scored", str(chainrule.load(checkpoint).score(TEXT).logprob)
    except chainrule.errors.ChainruleError as error:
        outcome, message = ("failed" if "\n" in str(error) else "refused"), str(error)
    except BaseException as error:
        outcome, message = "failed", f"{type(error).__name__}: {error}"
    if (grown := memory("VmHWM") - before) > MOST_BYTES:
        outcome, message = "failed", f"it took {grown >> 20} MiB"
    if beyond := outside(opened, allowed):
        outcome, message = "failed", f"it opened {beyond}"
    return outcome, " ".join(message.split())


def memory(field: str) -> int:
    """A field of this process's status, in bytes."""
    return int(re.search(rf"{field}:\s+(\d+)", Path("/proc/self/status").read_text()).group(1)) << 10


def outside(opened: list[str], allowed: list[str]) -> list[str]:
    """The opened paths outside the allowed folders. A number is a file that is already open; Python also lists its path."""
    paths = {os.path.abspath(path) for path in opened if not path.isdecimal()}
    return sorted(path for path in paths.difference([*sys.path, START]) if not path.startswith(tuple(allowed)))


def tracing(root: Path) -> Path:
    """A replacement for the Python executable that records all files that Python opens."""
    script = root / "python"
    trace = f"strace -f -qq -s 4096 -e trace=open,openat -o {shlex.quote(str(root))}/trace.$$"
    script.write_text(f'#!/bin/sh\nexec {trace} {shlex.quote(sys.executable)} "$@"\n')
    script.chmod(0o700)
    return script


def traced(root: Path) -> list[str]:
    """The paths outside the allowed folders that the processes opened after warming up, libraries included."""
    opened: list[str] = []
    for trace in root.glob("trace.*"):
        lines = trace.read_text(errors="replace").split(f'"{root}/marker"')[-1]
        opened += OPENED.findall(lines)
    os.chdir(root / "outside")
    return outside(opened, [*SYSTEM, *own_folders(), str(root / "cases")])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", type=int, default=200, help="checkpoints of each kind")
    parser.add_argument("--kind", action="append", help="only this kind; may be repeated")
    parser.add_argument("--strace", action="store_true", help="check all opened files with strace")
    parser.add_argument("--output", type=Path, help="a file for the outcomes, as JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        result = run(Path(scratch).resolve(), arguments)
    raise SystemExit(report_outcomes(*result, arguments.output))


def run(root: Path, arguments: argparse.Namespace) -> tuple[dict[str, dict], list[dict]]:
    """The outcomes of each kind, and the failures."""
    from damaged import KINDS, damaged, sound

    sound(root)
    (root / "marker").touch()
    (root / "cases").mkdir()
    failures, table = [], {}
    worker = Worker(root, arguments.strace)
    for kind in arguments.kind or KINDS:
        outcomes, reasons = Counter(), Counter()
        for seed in range(arguments.each):
            target = root / "cases" / "model"
            checkpoint = damaged(kind, seed, root, target)
            outcome, message = worker.ask(checkpoint)
            if (root / "outside" / "ran").exists():
                outcome, message = "failed", "it ran a pickle"
            if outcome == "failed":
                failures.append({"kind": kind, "seed": seed, "what": message})
                print(f"{kind} {seed}: {message}", flush=True)
                worker.stop()
                worker = Worker(root, arguments.strace)
            outcomes[outcome] += 1
            reasons[re.sub(r"\d+", "#", message.replace(str(target), "…"))] += outcome == "refused"
            shutil.rmtree(target)
        counts = {"refused": outcomes["refused"], "scored": outcomes["scored"], "failures": outcomes["failed"]}
        table[kind] = {"tries": arguments.each, **counts}
        table[kind]["messages"] = [reason for reason, count in reasons.most_common() if count]
    worker.stop()
    if arguments.strace:
        failures += [{"what": "opened outside", "file": file} for file in traced(root)]
    return table, failures


if __name__ == "__main__":
    main()
