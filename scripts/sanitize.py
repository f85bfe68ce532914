"""The kernels under sanitizers, on random shapes held against float64. Needs gcc; for ThreadSanitizer clang and its OpenMP too.

    python scripts/sanitize.py [--count 300]

AddressSanitizer and UndefinedBehaviorSanitizer by gcc, with one thread and with two; ThreadSanitizer by clang, with three. Both
sets of kernels run, for AVX-512 (where the processor has it) and for AVX2. ThreadSanitizer does not know how gcc's OpenMP
waits, and reports races where there are none; clang's tells it, by way of Archer.
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
ADDRESSES = (
    "-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all"  # with -O3 it takes a minute
)
RACES = "-O1 -g -fsanitize=thread"
COMPILER = """#!/usr/bin/env -S -u LD_PRELOAD sh
exec {compiler} "$@" {flags}
"""  # the compiler is not what is looked at


def runtime(name: str) -> str | None:
    """Where gcc keeps a library; None where it has none."""
    if shutil.which("gcc") is None:
        return None
    command = ["gcc", f"-print-file-name={name}"]
    found = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    return found if os.path.isabs(found) else None


def examine(compiler: str, flags: str, count: str, threads: tuple[int, ...], environment: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory() as cache:
        script = Path(cache) / f"{compiler}-with-sanitizers"
        script.write_text(COMPILER.format(compiler=compiler, flags=flags))
        script.chmod(0o700)
        for choice in ("1", "avx2"):
            for number in threads:
                command = [sys.executable, str(SHAPES), "--count", count, "--threads", str(number)]
                given = {"CC": str(script), "CHAINRULE_CACHE": cache, "CHAINRULE_NATIVE": choice}
                subprocess.run(command, check=True, env=os.environ | environment | given)


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--count", default="300", help="shapes of each kernel")
    count = options.parse_args().count
    addresses, undefined, races = (runtime(f"lib{name}.so") for name in ("asan", "ubsan", "tsan"))
    if not addresses or not undefined:
        raise SystemExit("there is no gcc with its sanitizers (apt install gcc libgcc-12-dev, or what your gcc calls it)")
    print("addresses and undefined behaviour:", flush=True)
    examine(
        *("gcc", ADDRESSES, count, (1, 2)),
        {
            "LD_PRELOAD": f"{addresses} {undefined}",  # before Python's own memory
            "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=0",  # Python keeps what it has until it ends
            "UBSAN_OPTIONS": "print_stacktrace=1",
        },
    )
    clang = shutil.which("clang")
    archer = clang and Path(clang).resolve().parent.parent / "lib" / "libarcher.so"
    if not races or not archer or not archer.exists():
        print("races are left out: they take gcc's libtsan, clang and its OpenMP (apt install clang libomp-dev)")
        return
    print("races:", flush=True)
    examine(
        *("clang", RACES, count, (3,)),
        {
            "LD_PRELOAD": races,
            "OMP_TOOL_LIBRARIES": str(archer),
            "TSAN_OPTIONS": "ignore_noninstrumented_modules=1:halt_on_error=1",  # OpenMP itself is one of them
        },
    )


if __name__ == "__main__":
    main()
