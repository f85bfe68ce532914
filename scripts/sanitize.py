"""The kernels under AddressSanitizer and UndefinedBehaviorSanitizer, on random shapes held against float64. Needs gcc.

    python scripts/sanitize.py [--count 300]

Both sets of kernels run, for AVX-512 (where the processor has it) and for AVX2, with one thread and with two. ThreadSanitizer
is left out: it does not know how gcc's OpenMP waits, and reports races where there are none.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SHAPES = Path(__file__).resolve().parent.parent / "tests" / "native_shapes.py"
SANITIZERS = (
    "-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all"  # with -O3 it takes a minute
)
COMPILER = f"""#!/bin/sh
unset LD_PRELOAD  # the compiler is not what is looked at
exec gcc "$@" {SANITIZERS}
"""


def runtime(name: str) -> str:
    """Where gcc keeps a library."""
    found = subprocess.run(["gcc", f"-print-file-name={name}"], check=True, capture_output=True, text=True).stdout.strip()
    if not os.path.isabs(found):
        raise SystemExit(f"gcc has no {name} (apt install libgcc-12-dev, or what your gcc calls it)")
    return found


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--count", default="300", help="shapes of each kernel")
    count = options.parse_args().count
    if shutil.which("gcc") is None:
        raise SystemExit("there is no gcc, whose sanitizers these are")
    with tempfile.TemporaryDirectory() as cache:
        compiler = Path(cache) / "gcc-with-sanitizers"
        compiler.write_text(COMPILER)
        compiler.chmod(0o700)
        environment = os.environ | {
            "CC": str(compiler),
            "CHAINRULE_CACHE": cache,
            "LD_PRELOAD": f"{runtime('libasan.so')} {runtime('libubsan.so')}",  # before Python's own memory
            "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=0",  # Python keeps what it has until it ends
            "UBSAN_OPTIONS": "print_stacktrace=1",
        }
        for choice in ("1", "avx2"):
            for threads in ("1", "2"):
                command = [sys.executable, str(SHAPES), "--count", count, "--threads", threads]
                subprocess.run(command, check=True, env=environment | {"CHAINRULE_NATIVE": choice})


if __name__ == "__main__":
    main()
