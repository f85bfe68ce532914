"""Compile the kernels once for this machine, keep them in the user's cache, and load them; or give the reason why not.

A C compiler takes about two seconds. The environment variable CHAINRULE_NATIVE chooses:

    1, or unset      all instructions that the processor has
    avx512           no matrix units (AMX): for tests
    avx2             neither, as on older processors: for tests
    0                no compiled kernels
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import re
import shlex
import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path

from chainrule.cache_dir import cache_folder
from chainrule.errors import ModelError
from chainrule.ops.library.compiler import CompilerError, compiled, loaded
from chainrule.ops.library.kept import Kept, kept
from chainrule.verdict import Verdict

SOURCES = Path(__file__).parents[1] / "native"  # folder of the C files and their headers
FLAGS = ("-O3", "-march=native", "-fopenmp", "-fPIC", "-shared", "-fno-math-errno", "-Wno-psabi")
CHOICES = {"": (), "1": (), "avx512": ("-mno-amx-tile",), "avx2": ("-mno-avx512f",)}  # of CHAINRULE_NATIVE: extra flags
LANES = 8  # fewest numbers at a time for which the kernels are faster than PyTorch's own
SECONDS = 60  # time limit of the compiler


@dataclass(frozen=True)
class Kernels(Verdict):
    """Whether there are compiled kernels, with the reason, and the library that holds them."""

    library: ctypes.CDLL | None = None
    lanes: int = 0  # numbers computed at a time
    product: bool = False  # whether the library has a product of bfloat16 factors
    matmul: bool = False  # whether its float32 products are faster than PyTorch's
    digest: str = ""  # SHA-256 of the library


@cache
def status() -> Kernels:
    """Whether there are compiled kernels here, with the reason. The first call compiles or loads them."""
    choice = os.environ.get("CHAINRULE_NATIVE", "")
    if choice == "0":
        return Kernels(False, "CHAINRULE_NATIVE=0 leaves the compiled kernels out")
    if choice not in CHOICES:
        known = "0 (no kernels), 1 (as without it), avx512 (no AMX) and avx2 (no AVX-512)"
        return Kernels(False, f"CHAINRULE_NATIVE={choice} is none of {known}")
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return Kernels(False, f"the kernels are written for Linux on x86-64, not {platform.system()} on {platform.machine()}")
    try:
        named = shlex.split(os.environ.get("CC", ""))
    except ValueError as error:
        return Kernels(False, f"CC={os.environ['CC']} cannot be read as a command: {error}")
    compiler = named or [c for c in map(shutil.which, ("cc", "gcc", "clang")) if c][:1]
    if not compiler:
        return Kernels(False, "there is no C compiler (cc, gcc or clang; apt install gcc, for one)")
    try:
        library, note = _library(compiler, (*FLAGS, *CHOICES[choice]))
    except (OSError, CompilerError) as error:
        return Kernels(False, f"{shlex.join(compiler)} could not compile them: {error}")
    lanes = library.lanes()
    if lanes < LANES:
        return Kernels(False, "this CPU has neither AVX2 nor AVX-512")
    product, matmul = hasattr(library, "product_b"), not _by_intel()
    reason = f"compiled by {shlex.join(compiler)}, {lanes} numbers at a time{note}"
    return Kernels(True, reason, library, lanes, product, matmul, vars(library).get("digest", ""))


def _library(compiler: list[str], flags: tuple[str, ...]) -> tuple[ctypes.CDLL, str]:
    """The library for these sources, compiler and processor, compiled if it is not kept; and a note if it could not be kept."""
    paths = sorted((*SOURCES.glob("*.c"), *SOURCES.glob("*.h")))
    sources = {path.name: path.read_text(encoding="utf-8") for path in paths}
    parts = (*chain(*sources.items()), *flags, *compiler, *processor())
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
    with ExitStack() as stack:
        try:
            entry = stack.enter_context(kept(cache_folder() / "kernels", key))
        except (OSError, ModelError) as error:  # ModelError: there is no home folder
            return _checked(compiled(compiler, flags, sources, SECONDS)), _not_kept(error)
        if (library := _load_kept(entry)) is not None:
            return library, ""
        if (failure := entry.failed()) is not None:
            raise CompilerError(_with_retry(failure, entry))
        return _compile_and_keep(compiler, flags, sources, entry)


def _load_kept(entry: Kept) -> ctypes.CDLL | None:
    library = entry.library()
    try:
        return None if library is None else _checked(library)
    except (OSError, CompilerError):  # intact, but it does not load: the system may have changed
        return None


def _compile_and_keep(
    compiler: list[str], flags: tuple[str, ...], sources: dict[str, str], entry: Kept
) -> tuple[ctypes.CDLL, str]:
    try:
        content = compiled(compiler, flags, sources, SECONDS)
        library = _checked(content)
    except CompilerError as error:
        try:
            entry.remember(str(error))
        except OSError:
            raise error from None
        raise CompilerError(_with_retry(str(error), entry)) from None
    try:
        entry.keep(content)
    except OSError as error:
        return library, _not_kept(error)
    return library, ""


def _checked(content: bytes) -> ctypes.CDLL:
    try:
        library = loaded(content)
    except OSError as error:
        raise CompilerError(f"the library that it wrote cannot be loaded: {error}") from None
    if not hasattr(library, "lanes"):
        raise CompilerError("the library that it wrote has no kernels in it")
    vars(library)["digest"] = hashlib.sha256(content).hexdigest()
    return library


def _with_retry(failure: str, entry: Kept) -> str:
    return f"{failure} (not tried again for a day, or until {entry.failure} is removed)"


def _not_kept(error: Exception) -> str:
    return f"; not kept, but compiled at each start: {error}"


def processor() -> list[str]:
    """Model and flags of the processor, as Linux lists them: code is compiled for these, and machines may share a cache."""
    return _listed("model name|flags") or [platform.processor()]


def _by_intel() -> bool:
    """Whether the processor is Intel's. PyTorch's float32 products, by Intel's MKL, use AVX-512 on these alone."""
    return any("GenuineIntel" in line for line in _listed("vendor_id"))


def _listed(names: str) -> list[str]:
    """The different lines about a processor with these names in Linux's list; empty if there is no list."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    return sorted({line for line in lines if re.match(rf"({names})\s*:", line)})
