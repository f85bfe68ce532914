"""Run the C compiler within a time limit, and load the library that it wrote."""

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

FREE_BYTES = 4 << 20  # free disk space below which a failure is blamed on the disk
_SCRATCH = "chainrule-"


class CompilerError(Exception):
    """The compiler ran and there is no library; another run would have the same result."""


def compiled(compiler: list[str], flags: tuple[str, ...], sources: dict[str, str], seconds: float) -> bytes:
    """The library compiled from these files, by their names. Raises CompilerError, or OSError if the machine is at fault."""
    with scratch_folder(Path(tempfile.gettempdir()), _SCRATCH) as scratch:
        library, stderr = (scratch / name for name in ("kernels.so", "stderr"))
        for name, text in sources.items():
            (scratch / name).write_text(text, encoding="utf-8")
        files = [str(scratch / name) for name in sources if name.endswith(".c")]
        code = _run([*compiler, *flags, "-o", str(library), *files, "-lm"], stderr, seconds)
        if code:
            error = stderr.read_text(encoding="utf-8", errors="replace").strip().replace(f"{scratch}{os.sep}", "")
            # A full disk may leave no space for the message either.
            if "No space left on device" in error or shutil.disk_usage(scratch).free < FREE_BYTES:
                raise OSError(f"there is no space left for the compiler's files in {scratch.parent}")
            raise CompilerError(error.splitlines()[0] if error else f"exit status {code}")
        if not library.is_file():
            raise CompilerError("it wrote no library")
        return library.read_bytes()


def _run(command: list[str], stderr: Path, seconds: float) -> int:
    """The exit status. A compiler is several processes: they run in a session of their own, and are ended together."""
    null, environment = subprocess.DEVNULL, os.environ | {"TMPDIR": str(stderr.parent)}  # deleted with our scratch folder
    with open(stderr, "wb") as errors:  # not a pipe, which a surviving child would hold open
        process = subprocess.Popen(command, stdin=null, stdout=null, stderr=errors, env=environment, start_new_session=True)
    try:
        return process.wait(seconds)
    except BaseException as error:  # including KeyboardInterrupt, which does not reach the other session
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if isinstance(error, subprocess.TimeoutExpired):
            raise CompilerError(f"it was ended after {seconds:g} seconds") from None
        raise


def loaded(library: bytes) -> ctypes.CDLL:
    """The library with exactly these bytes, from memory or else from a private file. Raises OSError if they are no library."""
    try:
        memory = os.memfd_create("chainrule-kernels", os.MFD_CLOEXEC)
    except OSError:
        return _loaded_from_a_file(library)
    try:
        with open(memory, "wb", closefd=False) as opened:
            opened.write(library)
        cdll = ctypes.CDLL(f"/proc/self/fd/{memory}")
    except OSError:  # no /proc, or a policy against it
        os.close(memory)
        return _loaded_from_a_file(library)
    return cdll  # the file stays open: for a reused name the loader would return the library that it knows by it


def _loaded_from_a_file(library: bytes) -> ctypes.CDLL:
    with scratch_folder(Path(tempfile.gettempdir()), _SCRATCH) as scratch:
        path = scratch / "kernels.so"
        path.write_bytes(library)
        return ctypes.CDLL(str(path))
