"""The C kernels under sanitizers, on random shapes compared with float64. Needs gcc; ThreadSanitizer also clang and its OpenMP.

    python scripts/sanitize.py [--count 300]

gcc builds AddressSanitizer and UndefinedBehaviorSanitizer, with one thread and with two; clang builds ThreadSanitizer, with
three. Both sets of kernels run, for AVX-512 (if the processor has it) and for AVX2. ThreadSanitizer cannot see how gcc's OpenMP
waits and would report false races; clang's OpenMP reports its waits through Archer.
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
"""  # the compiler itself runs without sanitizers


def runtime(name: str) -> str | None:
    """The path of a library of gcc; None if it has none."""
    if shutil.which("gcc") is None:
        return None
    command = ["gcc", f"-print-file-name={name}"]
    path = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    return path if os.path.isabs(path) else None


def examine(compiler: str, flags: str, count: str, threads: tuple[int, ...], environment: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory() as cache:
        script = Path(cache) / f"{compiler}-with-sanitizers"
        script.write_text(COMPILER.format(compiler=compiler, flags=flags))
        script.chmod(0o700)
        for choice in ("1", "avx2"):
            for number in threads:
                command = [sys.executable, str(SHAPES), "--count", count, "--threads", str(number)]
                variables = {"CC": str(script), "CHAINRULE_CACHE": cache, "CHAINRULE_NATIVE": choice}
                subprocess.run(command, check=True, env=os.environ | environment | variables)


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--count", default="300", help="shapes of each kernel")
    count = options.parse_args().count
    addresses, undefined, races = (runtime(f"lib{name}.so") for name in ("asan", "ubsan", "tsan"))
    if not addresses or not undefined:
        raise SystemExit("gcc with its sanitizers is missing (apt install gcc libgcc-12-dev, or the version of your gcc)")
    print("addresses and undefined behaviour:", flush=True)
    examine(
        *("gcc", ADDRESSES, count, (1, 2)),
        {
            "LD_PRELOAD": f"{addresses} {undefined}",  # must be loaded before Python allocates memory
            "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=0",  # Python frees some memory only at its end
            "UBSAN_OPTIONS": "print_stacktrace=1",
        },
    )
    clang = shutil.which("clang")
    archer = clang and Path(clang).resolve().parent.parent / "lib" / "libarcher.so"
    if not races or not archer or not archer.exists():
        print("races are skipped: they need gcc's libtsan, clang and its OpenMP (apt install clang libomp-dev)")
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
