"""Compile the kernels once for this machine, keep them in the user's cache, load them; or say why there are none.

A C compiler does it in about two seconds. The environment variable CHAINRULE_NATIVE chooses:

    1, or nothing    all that the processor has
    avx2             no AVX-512, as on older processors: for tests
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
from pathlib import Path

from chainrule.cache_dir import cache_folder
from chainrule.errors import ModelError
from chainrule.ops.native.compiler import CompilerError, compiled, loaded
from chainrule.ops.native.kept import Kept, kept
from chainrule.verdict import Verdict

SOURCE = Path(__file__).with_name("kernels.c")
FLAGS = ("-O3", "-march=native", "-fopenmp", "-fPIC", "-shared", "-fno-math-errno", "-Wno-psabi")
CHOICES = {"": (), "1": (), "avx2": ("-mno-avx512f",)}  # of CHAINRULE_NATIVE: more flags
LANES = 8  # numbers at a time, below which PyTorch's own kernels are as fast
SECONDS = 60  # a compiler that takes longer is not waited for


@dataclass(frozen=True)
class Kernels(Verdict):
    """Whether there are compiled kernels, with the reason, and the library that holds them."""

    library: ctypes.CDLL | None = None
    lanes: int = 0  # numbers computed at a time
    product: bool = False  # whether the library has a product of bfloat16 factors


@cache
def status() -> Kernels:
    """Whether there are compiled kernels here, found out when it is first asked for; true or false, with its `reason`."""
    choice = os.environ.get("CHAINRULE_NATIVE", "")
    if choice == "0":
        return Kernels(False, "CHAINRULE_NATIVE=0 leaves the compiled kernels out")
    if choice not in CHOICES:
        return Kernels(False, f"CHAINRULE_NATIVE={choice} is none of 0 (no kernels), 1 (as without it) and avx2 (no AVX-512)")
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
    product = hasattr(library, "product_b")
    reason = f"compiled by {shlex.join(compiler)}, {lanes} numbers at a time{note}"
    return Kernels(True, reason, library, lanes, product)


def _library(compiler: list[str], flags: tuple[str, ...]) -> tuple[ctypes.CDLL, str]:
    """The library for this source, compiler and processor, made where it is not there yet; and what to say of its keeping."""
    source = SOURCE.read_text(encoding="utf-8")
    key = hashlib.sha256("\0".join([source, *flags, *compiler, *_processor()]).encode()).hexdigest()[:32]
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(kept(cache_folder() / "kernels", key))
        except (OSError, ModelError) as error:  # ModelError: there is no home
            return _working(compiled(compiler, flags, source, SECONDS)), _not_kept(error)
        if (found := _found(folder)) is not None:
            return found, ""
        if (failure := folder.failed()) is not None:
            raise CompilerError(_told(failure, folder))
        return _made(compiler, flags, source, folder)


def _found(folder: Kept) -> ctypes.CDLL | None:
    library = folder.library()
    try:
        return None if library is None else _working(library)
    except (OSError, CompilerError):  # whole, but it does not load: perhaps the system has changed
        return None


def _made(compiler: list[str], flags: tuple[str, ...], source: str, folder: Kept) -> tuple[ctypes.CDLL, str]:
    try:
        library = compiled(compiler, flags, source, SECONDS)
        found = _working(library)
    except CompilerError as error:
        try:
            folder.remember(str(error))
        except OSError:
            raise error from None
        raise CompilerError(_told(str(error), folder)) from None
    try:
        folder.keep(library)
    except OSError as error:
        return found, _not_kept(error)
    return found, ""


def _working(library: bytes) -> ctypes.CDLL:
    try:
        found = loaded(library)
    except OSError as error:
        raise CompilerError(f"what it made cannot be loaded: {error}") from None
    if not hasattr(found, "lanes"):
        raise CompilerError("what it made has no kernels in it")
    return found


def _told(failure: str, folder: Kept) -> str:
    return f"{failure} (not tried again for a day, or until {folder.failure} is removed)"


def _not_kept(error: Exception) -> str:
    return f"; not kept, but compiled at each start: {error}"


def _processor() -> list[str]:
    """Model and abilities as Linux tells them: code is made for these, and a cache may be shared by unlike machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return [platform.processor()]
    return sorted({line for line in lines if re.match(r"(model name|flags)\s*:", line)})
