"""Run the C compiler for a limited time, and load what it made."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

from chainrule.scratch import scratch_folder

ROOM = 4 << 20  # bytes that it may need for its files
_SCRATCH = "chainrule-"


class CompilerError(Exception):
    """It ran, and there is no library; it would be the same the next time."""


def compiled(compiler: list[str], flags: tuple[str, ...], source: str, seconds: float) -> bytes:
    """The library made of this source. Raises CompilerError, or OSError where the machine is at fault."""
    with scratch_folder(Path(tempfile.gettempdir()), _SCRATCH) as scratch:
        text, library, said = (scratch / name for name in ("kernels.c", "kernels.so", "said"))
        text.write_text(source, encoding="utf-8")
        code = _run([*compiler, *flags, "-o", str(library), str(text), "-lm"], said, seconds)
        if code:
            error = said.read_text(encoding="utf-8", errors="replace").strip().replace(f"{scratch}{os.sep}", "")
            # where its message has no room either, the disk tells
            if "No space left on device" in error or shutil.disk_usage(scratch).free < ROOM:
                raise OSError(f"there is no space left for the compiler's files in {scratch.parent}")
            raise CompilerError(error.splitlines()[0] if error else f"exit status {code}")
        if not library.is_file():
            raise CompilerError("it wrote no library")
        return library.read_bytes()


def _run(command: list[str], said: Path, seconds: float) -> int:
    """The exit status. A compiler is many processes: they get a session of their own, and are ended together."""
    null, own = subprocess.DEVNULL, os.environ | {"TMPDIR": str(said.parent)}  # its own scratch files go away with ours
    with open(said, "wb") as errors:  # not a pipe, which a process that stays would hold open
        process = subprocess.Popen(command, stdin=null, stdout=null, stderr=errors, env=own, start_new_session=True)
    try:
        return process.wait(seconds)
    except BaseException as error:  # KeyboardInterrupt too: it reaches this process alone
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if isinstance(error, subprocess.TimeoutExpired):
            raise CompilerError(f"it was ended after {seconds:g} seconds") from None
        raise


def loaded(library: bytes) -> ctypes.CDLL:
    """Just these bytes, from memory, or else from a file of our own. Raises OSError where they are no library."""
    try:
        memory = os.memfd_create("chainrule-kernels", os.MFD_CLOEXEC)
    except OSError:
        return _loaded_from_a_file(library)
    try:
        with open(memory, "wb", closefd=False) as opened:
            opened.write(library)
        found = ctypes.CDLL(f"/proc/self/fd/{memory}")
    except OSError:  # no /proc, or a policy against it
        os.close(memory)
        return _loaded_from_a_file(library)
    return found  # the file stays open: the loader takes the same name for the same library


def _loaded_from_a_file(library: bytes) -> ctypes.CDLL:
    with scratch_folder(Path(tempfile.gettempdir()), _SCRATCH) as scratch:
        path = scratch / "kernels.so"
        path.write_bytes(library)
        return ctypes.CDLL(str(path))
