"""Run the tests that need lm-evaluation-harness, in an environment of its own: .bench/harness, made on the first run.

PyTorch is installed first, separately and pinned, so that no later package installs another build of it. For a CPU-only build
from another index, set PIP_INDEX_URL or PIP_EXTRA_INDEX_URL. Arguments are passed on to pytest.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".bench" / "harness"
STEPS = (
    ["torch==2.13.0"],
    [
        "transformers==5.24.0",
        "lm_eval[api]==0.4.13",
        "accelerate",
        "pytest==9.2.0",
        "hypothesis==6.170.15",
    ],  # hf needs accelerate
    ["--editable", f"{ROOT}[plot,serve]"],
)
TESTS = ("tests/evaluation", "tests/serving/test_harness_clients.py", "tests/cli/test_cli_help.py")


def main() -> None:
    python, ready = make()
    ready.write_text(repr(STEPS))
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    raise SystemExit(subprocess.run([python, "-m", "pytest", *(sys.argv[1:] or TESTS)], cwd=ROOT, env=environment).returncode)


def make() -> tuple[Path, Path]:
    """The interpreter of the environment, which is made if it is not complete, and the file that says that it is."""
    python, ready = FOLDER / ("Scripts" if os.name == "nt" else "bin") / "python", FOLDER / ".ready"
    if not ready.exists() or ready.read_text() != repr(STEPS):
        print(f"creating {FOLDER.relative_to(ROOT)}; this takes some minutes", file=sys.stderr)
        venv.create(FOLDER, with_pip=True, clear=True)
        for packages in STEPS:
            subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
    return python, ready


if __name__ == "__main__":
    main()
