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


ALL = ("flat", "flat-bf16", "long", "long-bf16", "mixed", "busy", "book", "candidates", "questions", "nbest")
SORTED = ("flat", "flat-bf16", "long", "long-bf16", "mixed", "busy", "book", "questions", "nbest")

# What a user of a family has to know and is not told: printed with its numbers.
SILENT = {
    "transformers": "adds no start symbol for this model, and its loss leaves out the first token. The benchmark adds it.",
    "minicons": "leaves out the first token by default; the benchmark sets `bos_token=True`.",
    "lm-evaluation-harness": "puts the token before a window in place of the start symbol, and no symbol "
    "before a context that is given. The benchmark puts it there.",
    "CTranslate2": "cuts each text after 1,024 tokens by default. The benchmark switches that off "
    "(`max_input_length=0`). It adds no start symbol. Its log-softmax is 1.6e-5 nats too high for each token.",
    "CTranslate2 (8-bit)": "is another model: its texts are some nats off. Otherwise as CTranslate2.",
    "vLLM": "leaves out the first token, so the benchmark adds the start symbol. It generates a token after each text. "
    "Its start, which compiles the model for minutes, is not timed.",
    "llama.cpp (4-bit)": "is another model: its texts are some nats off. Activations are rounded to 8 bits, without an "
    "option, and its tokenizer splits a few texts differently.",
}

# Variables that keep libraries from instructions beyond AVX2: PyTorch's own kernels, oneDNN, MKL, CTranslate2.
AVX2 = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "CT2_FORCE_CPU_ISA": "AVX2",
}
AVX2_COMPILER = '#!/bin/sh\nexec cc "$@" -march=haswell\n'  # the last -march counts

VLLM = ("flat", "flat-bf16", "long", "long-bf16", "busy", "questions", "nbest")

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
            ("flat", "long", "mixed", "busy", "questions", "nbest"),
        ),
        System(
            "ctranslate2_int8",
            "CTranslate2, batches of 512 tokens, 8-bit weights",
            "CTranslate2 (8-bit)",
            "ctranslate2",
            ("flat-bf16", "long-bf16"),
        ),
        System("vllm", "vLLM", "vLLM", "vllm", VLLM, optional=True),
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

    def __init__(
        self, system: System, model: Path, threads: int, peers: Path, dtype: str = "float32", avx2: bool = False
    ) -> None:
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
                env=environment(threads, avx2),
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


def environment(threads: int, avx2: bool = False) -> dict[str, str]:
    """The environment of every worker: ``threads`` threads, no network, no CUDA; with ``avx2``, no instructions beyond it."""
    counts = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"), str(threads))
    offline = dict.fromkeys(("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE"), "1")
    narrow = {**AVX2, "CC": str(avx2_compiler())} if avx2 else {}
    return {**os.environ, **counts, **offline, **narrow, "CUDA_VISIBLE_DEVICES": ""}


def avx2_compiler() -> Path:
    """A compiler for chainrule's kernels that is told of no instructions beyond AVX2. It needs ``cc``."""
    path = BENCH / "cc-avx2"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(AVX2_COMPILER, encoding="utf-8")
    path.chmod(0o755)
    return path


class Busy:
    """Within the ``with`` block, a foreign process of one thread multiplies matrices."""

    def __enter__(self) -> None:
        self.process = subprocess.Popen([sys.executable, "-c", FOREIGN], env=environment(1), stdout=subprocess.PIPE)
        self.process.stdout.readline()  # it has begun

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


FOREIGN = """
import torch
torch.set_num_threads(1)
x = torch.rand(1024, 1024) / 512
print(flush=True)
while True:
    x = x @ x / 2 + 1e-3
"""
