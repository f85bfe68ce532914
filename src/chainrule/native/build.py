"""Compile the kernels once for this machine, keep them in the user's cache, load them; or say why there are none.

A C compiler does it in about a second. `CHAINRULE_NATIVE=0` leaves them out.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import re
import shlex
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from chainrule.folders import cache_folder

SOURCE = Path(__file__).with_name("kernels.c")
FLAGS = ("-O3", "-march=native", "-fopenmp", "-fPIC", "-shared", "-fno-math-errno", "-Wno-psabi")
LANES = 8  # numbers at a time, below which PyTorch's own kernels are as fast
SECONDS = 60  # a compiler that takes longer is not waited for


@dataclass(frozen=True)
class Status:
    """The compiled kernels, or none, and why."""

    library: ctypes.CDLL | None
    reason: str
    lanes: int = 0  # numbers computed at a time
    product: bool = False  # whether its product of bfloat16 factors is worth using: not beside matrix units (AMX)

    def __bool__(self) -> bool:
        return self.library is not None


@cache
def status() -> Status:
    """Whether there are compiled kernels here, found out when it is first asked for; true or false, with its `reason`."""
    if os.environ.get("CHAINRULE_NATIVE") == "0":
        return Status(None, "CHAINRULE_NATIVE=0 leaves the compiled kernels out")
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return Status(None, f"the kernels are written for Linux on x86-64, not {platform.system()} on {platform.machine()}")
    compiler = shlex.split(os.environ.get("CC", "")) or [c for c in map(shutil.which, ("cc", "gcc", "clang")) if c][:1]
    if not compiler:
        return Status(None, "there is no C compiler (cc, gcc or clang; apt install gcc, for one)")
    try:
        library = ctypes.CDLL(str(_compiled(compiler)))
    except (OSError, subprocess.SubprocessError) as error:
        said = (getattr(error, "stderr", None) or "").strip() or _in_short(error)
        return Status(None, f"{' '.join(compiler)} could not compile them: {said.splitlines()[0]}")
    lanes = library.lanes()
    if lanes < LANES:
        return Status(None, "this CPU has neither AVX2 nor AVX-512")
    product = hasattr(library, "product_b") and not any("amx_bf16" in line for line in _processor())
    return Status(library, f"compiled by {' '.join(compiler)}, {lanes} numbers at a time", lanes, product)


def _in_short(error: Exception) -> str:
    """Without the command line, which is long."""
    return f"exit status {error.returncode}" if isinstance(error, subprocess.CalledProcessError) else str(error) or repr(error)


def _compiled(compiler: list[str]) -> Path:
    """The library for this source, compiler and processor; made where it is not there yet."""
    key = hashlib.sha256("\0".join([SOURCE.read_text(encoding="utf-8"), *FLAGS, *compiler, *_processor()]).encode())
    folder = cache_folder() / "kernels"
    library = folder / f"{key.hexdigest()[:32]}.so"
    if _ours(library):
        return library
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:  # another process may be at it too: the last one wins
        made = Path(scratch) / library.name
        command = [*compiler, *FLAGS, "-o", str(made), str(SOURCE), "-lm"]
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=SECONDS, stdin=subprocess.DEVNULL)
        made.chmod(0o700)  # whatever the umask lets others do
        os.replace(made, library)
    return library


def _ours(library: Path) -> bool:
    """Whether it is there, and nobody else can have written it."""
    try:
        found = library.stat()
    except OSError:
        return False
    return found.st_uid == os.getuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _processor() -> list[str]:
    """Model and abilities as Linux tells them: code is made for these, and a cache may be shared by unlike machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return [platform.processor()]
    return sorted({line for line in lines if re.match(r"(model name|flags)\s*:", line)})
