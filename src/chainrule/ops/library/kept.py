"""The cache folder of compiled libraries, and of failures to compile. Files that other users could have written are ignored.

KEY.so        a library
KEY.sha256    its digest, written after it: a truncated or damaged library does not match, and is compiled again
KEY.failed    why there is none; compiled again after a day, or once this file is removed
.new-…        one of these while it is being written
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from chainrule.scratch import clear_leftovers, scratch_folder

DAY = 86_400  # seconds that a failure is remembered
LONGEST = 64 << 20  # bytes; larger files are ignored
_SCRATCH = ".new-"
_FORMER = re.compile(r"\.[0-9a-f]{32}\.(so|sha256|failed)\.\d+\.\d+")  # leftovers of earlier versions of this package


class Kept:
    """The files of one key. They are opened relative to the folder that was opened and checked, not by path."""

    def __init__(self, folder: Path, opened: int, key: str) -> None:
        self.failure = folder / f"{key}.failed"
        self._opened, self._key = opened, key

    def library(self) -> bytes | None:
        """The library, if it is there and matches its digest."""
        content, digest = self._read(".so"), self._read(".sha256")
        if content is None or digest is None:
            return None
        return content if hashlib.sha256(content).hexdigest().encode() == digest.strip() else None

    def keep(self, library: bytes) -> None:
        self._write(".so", library)
        self._write(".sha256", hashlib.sha256(library).hexdigest().encode())
        with suppress(OSError):
            os.unlink(self.failure.name, dir_fd=self._opened)

    def failed(self) -> str | None:
        """Why no library could be compiled, if that was less than a day ago."""
        reason = self._read(".failed", newest=time.time() - DAY)
        return reason.decode("utf-8", "replace").strip() or None if reason else None

    def remember(self, failure: str) -> None:
        self._write(".failed", failure.encode())

    def _read(self, suffix: str, newest: float | None = None) -> bytes | None:
        """The content of the file that was checked, opened once. None if it is not ours alone, or older than `newest`."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # opening a pipe would block
        try:
            file = os.open(self._key + suffix, flags, dir_fd=self._opened)
        except OSError:
            return None
        with open(file, "rb") as opened:
            status = os.fstat(file)
            old = newest is not None and not newest <= status.st_mtime <= newest + 2 * DAY  # or dated by a wrong clock
            if not stat.S_ISREG(status.st_mode) or complaint(status) or old or status.st_size > LONGEST:
                return None
            try:
                return opened.read()
            except OSError:  # an I/O error
                return None

    def _write(self, suffix: str, content: bytes) -> None:
        """Write atomically. Of two processes that write at the same time, the last one wins."""
        with scratch_folder(_path(self._opened), _SCRATCH) as scratch:
            (scratch / "new").touch(0o600)
            (scratch / "new").write_bytes(content)
            os.replace(scratch / "new", self._key + suffix, dst_dir_fd=self._opened)


@contextmanager
def kept(folder: Path, key: str) -> Iterator[Kept]:
    """The files of a key. Raises OSError if the folder cannot be made or opened, or if others can write to it."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if wrong := complaint(os.fstat(opened)):
            raise OSError(f"{folder} {wrong}")
        _clear(opened)
        yield Kept(folder, opened, key)
    finally:
        os.close(opened)


def _clear(opened: int) -> None:
    """Remove leftovers of killed processes. Earlier versions wrote for a moment only, so none of theirs is in use."""
    clear_leftovers(_path(opened), _SCRATCH)
    for name in filter(_FORMER.fullmatch, os.listdir(opened)):
        with suppress(OSError):
            os.unlink(name, dir_fd=opened)


def _path(opened: int) -> Path:
    """The folder that is open, even if it has been renamed."""
    return Path(f"/proc/self/fd/{opened}")


def complaint(status: os.stat_result) -> str | None:
    """Why another user could have written a file or folder; None if only this user could."""
    if status.st_uid != os.geteuid():
        return f"belongs to another user ({status.st_uid})"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"can be written by others (mode {stat.S_IMODE(status.st_mode):o}; chmod go-w takes that from them)"
    return None
