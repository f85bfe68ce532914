"""The systems compared, and the worker process of each, seen from the side that asks."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
BENCH = HERE.parent / ".bench"
PEERS = BENCH / "peers"  # the environment that setup_peers.py makes


@dataclass(frozen=True)
class System:
    """``module`` is its file in ``workers/``; ``environment`` says whose packages it runs with."""

    module: str
    title: str
    environment: str
    workloads: tuple[str, ...]


SYSTEMS = {
    system.module: system
    for system in (
        System("chainrule", "chainrule", "chainrule", ("flat", "candidates")),
        System("transformers_sorted", "transformers, batches of 16 sorted by length", "peers", ("flat",)),
        System("transformers_single", "transformers, one text at a time", "peers", ("flat",)),
        System("transformers_cached", "transformers, context cached by hand", "peers", ("candidates",)),
        System("minicons", "minicons, batches of 16", "peers", ("flat",)),
        System("minicons_sorted", "minicons, batches of 16 sorted by length", "peers", ("flat",)),
        System("lm_eval", "lm-evaluation-harness, batches of 16", "peers", ("flat", "candidates")),
    )
}


class Worker:
    """One system's process: loads the model at the start, answers :meth:`ask`, ends with the ``with`` block."""

    def __init__(self, system: System, model: Path, threads: int, peers: Path) -> None:
        self.system = system
        self.log = BENCH / "logs" / f"{system.module}.log"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        python = python_of(system, peers)
        command = [python, "-m", f"workers.{system.module}", "--model", str(model), "--threads", str(threads)]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command,
                cwd=HERE,
                env=environment(threads),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self.packages: dict[str, str] = self.answer()["packages"]

    def ask(self, workload: str, **request: object) -> dict:
        """The seconds that one round took in the worker, and the log-probabilities in nats."""
        print(json.dumps({"workload": workload, **request}), file=self.process.stdin, flush=True)
        return self.answer()

    def answer(self) -> dict:
        line = self.process.stdout.readline()
        if not line:
            tail = "\n".join(self.log.read_text().splitlines()[-3:])
            log = self.log.relative_to(HERE.parent)
            raise SystemExit(f"{self.system.module} stopped before it answered; {log} ends:\n{tail}")
        return json.loads(line)

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stdin.close()
        self.process.wait()


def python_of(system: System, peers: Path) -> str:
    """The interpreter a system runs with: this one for chainrule, the peers' environment for the others."""
    if system.environment == "chainrule":
        return sys.executable
    python = peers / "bin" / "python"
    if not python.exists():
        raise SystemExit(
            f"{system.module} needs the environment of the peers, and there is none: "
            "run `python benchmarks/setup_peers.py`, or measure without them: `--systems chainrule`"
        )
    return str(python)


def environment(threads: int) -> dict[str, str]:
    """The same for every worker: so many threads, no network, no CUDA."""
    counts = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"), str(threads))
    offline = dict.fromkeys(("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE"), "1")
    return {**os.environ, **counts, **offline, "CUDA_VISIBLE_DEVICES": ""}
