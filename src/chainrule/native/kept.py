"""The folder of libraries made before, and of failures to make one. Nothing in it is trusted that another could have written.

KEY.so        a library
KEY.sha256    its digest, written after it: what is cut short or damaged does not match, and is made anew
KEY.failed    why there is none; tried again a day later, or once this file is removed
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

DAY = 86_400  # seconds that a failure is remembered
LONGEST = 64 << 20  # bytes of a file that are read


class Kept:
    """The files of one key. Names are looked up in the folder that was opened and checked, not by its path again."""

    def __init__(self, folder: Path, opened: int, key: str) -> None:
        self.failure = folder / f"{key}.failed"
        self._opened, self._key = opened, key

    def library(self) -> bytes | None:
        """The library, if it is whole."""
        made, digest = self._read(".so"), self._read(".sha256")
        whole = made is not None and digest is not None and hashlib.sha256(made).hexdigest().encode() == digest.strip()
        return made if whole else None

    def keep(self, library: bytes) -> None:
        self._write(".so", library)
        self._write(".sha256", hashlib.sha256(library).hexdigest().encode())
        with suppress(OSError):
            os.unlink(self.failure.name, dir_fd=self._opened)

    def failed(self) -> str | None:
        """Why no library could be made, if that was found less than a day ago."""
        said = self._read(".failed", newest=time.time() - DAY)
        return said.decode("utf-8", "replace").strip() or None if said else None

    def remember(self, failure: str) -> None:
        self._write(".failed", failure.encode())

    def _read(self, suffix: str, newest: float | None = None) -> bytes | None:
        """What is read is what was checked: the file is opened once. None where it is not ours, or older than `newest`."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a pipe would be waited for
        try:
            file = os.open(self._key + suffix, flags, dir_fd=self._opened)
        except OSError:
            return None
        with open(file, "rb") as opened:
            found = os.fstat(file)
            old = newest is not None and not newest <= found.st_mtime <= newest + 2 * DAY  # or from a clock that was wrong
            if not stat.S_ISREG(found.st_mode) or complaint(found) or old or found.st_size > LONGEST:
                return None
            try:
                return opened.read()
            except OSError:  # a broken disk
                return None

    def _write(self, suffix: str, content: bytes) -> None:
        """All of it or nothing; of two processes at it, the last one wins."""
        scratch = f".{self._key}{suffix}.{os.getpid()}.{time.monotonic_ns()}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(scratch, flags, 0o600, dir_fd=self._opened), "wb") as opened:
            try:
                opened.write(content)
                opened.flush()
                os.replace(scratch, self._key + suffix, src_dir_fd=self._opened, dst_dir_fd=self._opened)
            except BaseException:
                with suppress(OSError):
                    os.unlink(scratch, dir_fd=self._opened)
                raise


@contextmanager
def kept(folder: Path, key: str) -> Iterator[Kept]:
    """Raises OSError where the folder cannot be made or opened, or others could write to it."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if wrong := complaint(os.fstat(opened)):
            raise OSError(f"{folder} {wrong}")
        yield Kept(folder, opened, key)
    finally:
        os.close(opened)


def complaint(found: os.stat_result) -> str | None:
    """Why another could have written it, if one could."""
    if found.st_uid != os.geteuid():
        return f"belongs to another user ({found.st_uid})"
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"can be written by others (mode {stat.S_IMODE(found.st_mode):o}; chmod go-w takes that from them)"
    return None
