"""The folder of libraries made before, and of failures to make one. Nothing in it is trusted that another could have written.

KEY.so        a library
KEY.sha256    its digest, written after it: what is cut short or damaged does not match, and is made anew
KEY.failed    why there is none; tried again a day later, or once this file is removed
.new-…        one of these, while it is written
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
LONGEST = 64 << 20  # bytes of a file that are read
_SCRATCH = ".new-"
_FORMER = re.compile(r"\.[0-9a-f]{32}\.(so|sha256|failed)\.\d+\.\d+")  # what earlier versions left when they were killed


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
        with scratch_folder(_path(self._opened), _SCRATCH) as scratch:
            (scratch / "new").touch(0o600)
            (scratch / "new").write_bytes(content)
            os.replace(scratch / "new", self._key + suffix, dst_dir_fd=self._opened)


@contextmanager
def kept(folder: Path, key: str) -> Iterator[Kept]:
    """Raises OSError where the folder cannot be made or opened, or others could write to it."""
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
    """What killed runs left. Earlier versions wrote for a moment only, and so theirs are not at work."""
    clear_leftovers(_path(opened), _SCRATCH)
    for name in filter(_FORMER.fullmatch, os.listdir(opened)):
        with suppress(OSError):
            os.unlink(name, dir_fd=opened)


def _path(opened: int) -> Path:
    """The folder that is open, whatever becomes of its name."""
    return Path(f"/proc/self/fd/{opened}")


def complaint(found: os.stat_result) -> str | None:
    """Why another could have written it, if one could."""
    if found.st_uid != os.geteuid():
        return f"belongs to another user ({found.st_uid})"
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"can be written by others (mode {stat.S_IMODE(found.st_mode):o}; chmod go-w takes that from them)"
    return None
