"""The compared systems, and the client side of their worker processes."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
BENCH = HERE.parent / ".bench"
PEERS = BENCH / "peers"  # one of the environments that setup_peers.py makes


@dataclass(frozen=True)
class System:
    """``module`` is its file in ``workers/``; ``environment`` is the environment that it runs in.

    Systems of one ``family`` are variants of one peer. An ``optional`` system is left out if its environment does not exist.
    """

    module: str
    title: str
    family: str
    environment: str
    workloads: tuple[str, ...]
    optional: bool = False


ALL = ("flat", "flat-bf16", "mixed", "book", "candidates", "questions", "nbest")
SORTED = ("flat", "flat-bf16", "mixed", "book", "questions", "nbest")

SYSTEMS = {
    system.module: system
    for system in (
        System("chainrule", "chainrule", "chainrule", "chainrule", ALL),
        System("transformers_sorted", "transformers, batches of up to 16 sorted by length", "transformers", "peers", SORTED),
        System("transformers_single", "transformers, one text at a time", "transformers", "peers", ("flat", "mixed")),
        System(
            "transformers_cached",
            "transformers, context cached by hand",
            "transformers",
            "peers",
            ("candidates", "questions"),
        ),
        System("minicons", "minicons, batches of 16", "minicons", "peers", ("flat", "nbest")),
        System("minicons_sorted", "minicons, batches of 16 sorted by length", "minicons", "peers", ("flat",)),
        System(
            "lm_eval",
            "lm-evaluation-harness, batches of 16",
            "lm-evaluation-harness",
            "peers",
            ("flat", "book", "candidates", "questions"),
        ),
        System(
            "ctranslate2",
            "CTranslate2, batches of 512 tokens",
            "CTranslate2",
            "ctranslate2",
            ("flat", "mixed", "questions", "nbest"),
        ),
        System(
            "ctranslate2_int8",
            "CTranslate2, batches of 512 tokens, 8-bit weights",
            "CTranslate2 (8-bit)",
            "ctranslate2",
            ("flat-bf16",),
        ),
        System("vllm", "vLLM", "vLLM", "vllm", ("flat", "flat-bf16", "questions", "nbest"), optional=True),
        System(
            "llama_cpp",
            "llama.cpp, one text at a time, 4-bit weights (Q4_1)",
            "llama.cpp (4-bit)",
            "llama",
            ("flat",),
        ),
    )
}


class Worker:
    """The process of one system. It loads the model at the start, answers :meth:`ask`, and ends with the ``with`` block."""

    def __init__(self, system: System, model: Path, threads: int, peers: Path, dtype: str = "float32") -> None:
        self.system = system
        self.log = BENCH / "logs" / f"{system.module}.log"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        python = python_of(system, peers)
        command = [python, "-m", f"workers.{system.module}", "--model", str(model), "--threads", str(threads)]
        command += ["--dtype", dtype]
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

    def ask(self, method: str, **request: object) -> dict:
        """The seconds of one round in the worker, and the log-probabilities in nats."""
        print(json.dumps({"method": method, **request}), file=self.process.stdin, flush=True)
        return self.answer()

    def answer(self) -> dict:
        line = self.process.stdout.readline()
        if not line:
            tail = "\n".join(self.log.read_text().splitlines()[-3:])
            log = self.log.relative_to(HERE.parent)
            raise SystemExit(f"{self.system.module} ended without an answer; {log} ends with:\n{tail}")
        return json.loads(line)

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stdin.close()
        self.process.wait()


def python_of(system: System, peers: Path) -> str:
    """The interpreter of a system: this one for chainrule, that of an environment next to ``peers`` for the others."""
    if system.environment == "chainrule":
        return sys.executable
    if available(system, peers):
        return str(interpreter(system, peers))
    raise SystemExit(
        f"{system.module} needs its own environment, which does not exist: run `python benchmarks/setup_peers.py"
        f"{' --vllm' if system.optional else ''}`, or measure without it: `--systems chainrule`"
    )


def available(system: System, peers: Path) -> bool:
    return system.environment == "chainrule" or interpreter(system, peers).exists()


def interpreter(system: System, peers: Path) -> Path:
    return (peers if system.environment == "peers" else peers.with_name(system.environment)) / "bin" / "python"


def environment(threads: int) -> dict[str, str]:
    """The environment of every worker: ``threads`` threads, no network, no CUDA."""
    counts = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"), str(threads))
    offline = dict.fromkeys(("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE"), "1")
    return {**os.environ, **counts, **offline, "CUDA_VISIBLE_DEVICES": ""}
