"""Load damaged and hostile checkpoints, and count what is no clear refusal.

    .venv/bin/python benchmarks/damaged_checkpoints.py              # 200 of each kind: allow 10 minutes
    .venv/bin/python benchmarks/damaged_checkpoints.py --each 8     # a little of everything
    .venv/bin/python benchmarks/damaged_checkpoints.py --strace     # and all that the process opens, its libraries included

Each checkpoint (``tests/damaged.py``) is loaded by ``chainrule.load`` in a process of its own, which is kept, and scores a
text where it loads. A failure is an error other than chainrule's own, one of several lines, a crash, a load of more than 30
seconds or 2 GiB, and a file opened outside of the checkpoint, Python's own and chainrule's cache. Weights may change without
a trace: a model that loads is no failure. Exit code 1 where there are failures.
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

from tally import told

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
    """Another process, so that one that crashes or hangs is an outcome and not the end."""

    def __init__(self, root: Path, trace: bool) -> None:
        context = multiprocessing.get_context("spawn")
        if trace:
            context.set_executable(str(tracing(root)))
        self.here, there = context.Pipe()
        self.process = context.Process(target=work, args=(there, root), daemon=True)
        self.process.start()
        there.close()
        self.pid = self.here.recv()  # which is not that of the process that was started, where it is traced

    def ask(self, checkpoint: Path) -> tuple[str, str]:
        """What became of it, and why."""
        self.here.send(checkpoint)
        try:
            return self.here.recv() if self.here.poll(SECONDS) else ("failed", f"it took more than {SECONDS} s")
        except EOFError:
            return "failed", "the process died"

    def stop(self) -> None:
        self.here.close()  # at which it ends, unless it hangs
        self.process.join(3)
        if self.process.is_alive():
            os.kill(self.pid, signal.SIGKILL)
            self.process.join()


def work(asked: Connection, root: Path) -> None:
    """Load and score what is asked for, until nobody asks any more."""
    import torch

    torch.set_num_threads(1)  # tiny models are done before a second one wakes up
    os.chdir(root / "outside")  # where a name alone would be found
    allowed, opened = [*SYSTEM, *own_folders()], []
    for sound in (root / "whole", root / "shards", root / "gguf" / "tiny.gguf"):
        if attempt(sound, opened, [*allowed, str(root)])[0] != "scored":
            raise SystemExit(f"{sound} is sound, and does not load")
    sys.addaudithook(lambda event, details: opened.append(str(details[0])) if event == "open" else None)
    (root / "marker").open().close()
    asked.send(os.getpid())
    while True:
        try:
            checkpoint = asked.recv()
        except EOFError:
            return
        asked.send(attempt(checkpoint, opened, [*allowed, str(checkpoint)]))


def own_folders() -> list[str]:
    """Where Python, its packages, chainrule and what it keeps lie."""
    from chainrule.cache_dir import cache_folder

    return [*{str(Path(path).resolve()) for path in (sys.prefix, sys.base_prefix, ROOT / "src")}, str(cache_folder())]


def attempt(checkpoint: Path, opened: list[str], allowed: list[str]) -> tuple[str, str]:
    import chainrule

    opened.clear()
    before = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the most that it has ever had is counted from here
    try:
        outcome, said = "scored", str(chainrule.load(checkpoint).score(TEXT).logprob)
    except chainrule.errors.ChainruleError as error:
        outcome, said = ("failed" if "\n" in str(error) else "refused"), str(error)
    except BaseException as error:
        outcome, said = "failed", f"{type(error).__name__}: {error}"
    if (grown := memory("VmHWM") - before) > MOST_BYTES:
        outcome, said = "failed", f"it took {grown >> 20} MiB"
    if beyond := outside(opened, allowed):
        outcome, said = "failed", f"it opened {beyond}"
    return outcome, " ".join(said.split())


def memory(field: str) -> int:
    """A line of this process's status, in bytes."""
    return int(re.search(rf"{field}:\s+(\d+)", Path("/proc/self/status").read_text()).group(1)) << 10


def outside(opened: list[str], allowed: list[str]) -> list[str]:
    """What was opened that lies nowhere where it may. A number is a file that is open already; Python lists its path."""
    paths = {os.path.abspath(path) for path in opened if not path.isdecimal()}
    return sorted(path for path in paths.difference([*sys.path, START]) if not path.startswith(tuple(allowed)))


def tracing(root: Path) -> Path:
    """In place of Python: Python with all that it opens written down."""
    script = root / "python"
    trace = f"strace -f -qq -s 4096 -e trace=open,openat -o {shlex.quote(str(root))}/trace.$$"
    script.write_text(f'#!/bin/sh\nexec {trace} {shlex.quote(sys.executable)} "$@"\n')
    script.chmod(0o700)
    return script


def traced(root: Path) -> list[str]:
    """What the processes opened outside, libraries included, once they were warm."""
    opened: list[str] = []
    for trace in root.glob("trace.*"):
        lines = trace.read_text(errors="replace").split(f'"{root}/marker"')[-1]
        opened += OPENED.findall(lines)
    os.chdir(root / "outside")
    return outside(opened, [*SYSTEM, *own_folders(), str(root / "cases")])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", type=int, default=200, help="so many checkpoints of each kind")
    parser.add_argument("--kind", action="append", help="only this kind, which may be given several times")
    parser.add_argument("--strace", action="store_true", help="look at all that is opened, with strace")
    parser.add_argument("--output", type=Path, help="write what became of each of them, as JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        result = run(Path(scratch).resolve(), arguments)
    raise SystemExit(told(*result, arguments.output))


def run(root: Path, arguments: argparse.Namespace) -> tuple[dict[str, dict], list[dict]]:
    """What became of each kind, and the failures."""
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
            outcome, said = worker.ask(checkpoint)
            if (root / "outside" / "ran").exists():
                outcome, said = "failed", "it ran a pickle"
            if outcome == "failed":
                failures.append({"kind": kind, "seed": seed, "what": said})
                print(f"{kind} {seed}: {said}", flush=True)
                worker.stop()
                worker = Worker(root, arguments.strace)
            outcomes[outcome] += 1
            reasons[re.sub(r"\d+", "#", said.replace(str(target), "…"))] += outcome == "refused"
            shutil.rmtree(target)
        counts = {"refused": outcomes["refused"], "scored": outcomes["scored"], "failures": outcomes["failed"]}
        table[kind] = {"tries": arguments.each, **counts}
        table[kind]["messages"] = [message for message, count in reasons.most_common() if count]
    worker.stop()
    if arguments.strace:
        failures += [{"what": "opened outside", "file": file} for file in traced(root)]
    return table, failures


if __name__ == "__main__":
    main()
