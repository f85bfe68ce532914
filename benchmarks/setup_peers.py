"""Make the environment that the peers run in: ``.bench/peers``, a virtual environment of its own.

    python benchmarks/setup_peers.py

PyTorch is installed first, by itself and pinned, so that nothing after it can pull another build of it. To take a
CPU-only build from another index, set PIP_INDEX_URL or PIP_EXTRA_INDEX_URL as pip documents.
"""

import subprocess
import sys
import venv

from systems import PEERS

STEPS = (
    ["torch==2.13.0"],
    ["transformers==5.23.0", "minicons==0.3.39", "lm_eval[hf]==0.4.13"],
)


def main() -> None:
    print(f"making {PEERS.relative_to(PEERS.parents[1])}; some minutes", file=sys.stderr)
    venv.create(PEERS, with_pip=True)
    for packages in STEPS:
        subprocess.run([PEERS / "bin" / "python", "-m", "pip", "install", *packages], check=True)


if __name__ == "__main__":
    main()
