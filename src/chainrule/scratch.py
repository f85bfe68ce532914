"""Temporary files and folders that replace their target once they are whole, or are removed.

Their names end in ".chainrule-part". The process that creates one holds a lock on it (flock) as long as it runs, so the
system releases the lock of a killed process, and the next run removes what it left. A leftover has such a name, belongs to
this user, is not a link and can be locked at once. Without locks (Windows, some network disks), it is older than a day.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

SUFFIX = ".chainrule-part"
DAY = 86_400  # seconds
_LOCK = ".lock"  # in a folder
# Without O_NONBLOCK, opening a pipe would block. Windows has none of these flags.
_FLAGS = os.O_RDWR | sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC"))


class ScratchFile:
    """A new file in the folder of `target`, with a unique name, that becomes `target` or is removed."""

    def __init__(self, target: Path) -> None:
        """Raises OSError if no file can be created there, or if `target` cannot be overwritten."""
        self.target = target
        real, mode = _real(target)
        prefix = f".{real.name[:50]}."  # a name has at most 255 bytes
        clear_leftovers(real.parent, prefix)
        while True:
            self.path = _new(real.parent, prefix)
            self._file = _opened(self.path, os.O_CREAT | os.O_EXCL, 0o666 if mode is None else mode | 0o600)
            if _locked(self._file, self.path) is not False:
                break
            self._file.close()

    def commit(self, target: Path | None = None) -> Path:
        """Flush the file to disk and replace `target` (None: the target of the constructor), keeping its mode."""
        target = target or self.target
        real, mode = _real(target)
        if mode is not None:
            os.chmod(self.path, mode)
        self._flush()
        os.replace(self.path, real)
        self._file.close()
        _flush_folder(real.parent)
        return target

    def keep_as(self, name: Path) -> Path:
        """As `commit`, but replaces nothing: the first free name of a.csv, a-2.csv, a-3.csv … is used and returned."""
        self._flush()
        for number in count(1):
            free = name if number == 1 else name.with_stem(f"{name.stem}-{number}")
            with suppress(FileExistsError):
                self._become(free)
                break
        self._file.close()
        _flush_folder(free.parent)
        return free

    def _become(self, free: Path) -> None:
        try:
            os.link(self.path, free)
        except FileExistsError:
            raise
        except OSError:  # a disk without links
            os.close(os.open(free, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
            os.replace(self.path, free)
        else:
            os.unlink(self.path)

    def discard(self) -> None:
        """Remove the file if it still exists."""
        self._file.close()
        with suppress(FileNotFoundError):
            os.unlink(self.path)

    def _flush(self) -> None:
        os.fsync(self._file)
        if fcntl is None:
            self._file.close()  # Windows renames no open file


@contextmanager
def scratch_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """A new folder that only this user can access, removed at the end. Raises OSError if it cannot be created."""
    clear_leftovers(parent, prefix)
    while True:
        folder = _new(parent, prefix)
        if lock := _made(folder):
            break
    try:
        yield folder
    finally:
        lock.close()
        shutil.rmtree(folder, ignore_errors=True)


def _made(folder: Path) -> BinaryIO | None:
    """Create the folder and return its lock; None if another process removed it as a leftover before it was locked."""
    folder.mkdir(mode=0o700)
    try:
        lock = _opened(folder / _LOCK, os.O_CREAT)
    except FileNotFoundError:
        return None
    except OSError:  # a full disk
        folder.rmdir()
        raise
    if _locked(lock, folder / _LOCK) is not False:
        return lock
    lock.close()
    return None


def clear_leftovers(folder: Path, prefix: str) -> None:
    """Remove the leftovers of killed runs with this prefix from `folder`. Those that cannot be removed are kept."""
    form = re.compile(re.escape(prefix) + "[0-9a-f]{16}" + re.escape(SUFFIX))
    with suppress(OSError):
        for name in filter(form.fullmatch, os.listdir(folder)):
            with suppress(OSError):
                _clear(folder / name, prefix)


def _clear(path: Path, prefix: str) -> None:
    info = path.lstat()
    if not _is_own(info) or not (stat.S_ISDIR(info.st_mode) or stat.S_ISREG(info.st_mode)):
        return
    folder = stat.S_ISDIR(info.st_mode)
    lock = path / _LOCK if folder else path
    with _opened(lock, os.O_CREAT if folder else 0) as opened:
        locked = _locked(opened, lock)
        if locked is False or (locked is None and time.time() - info.st_mtime < DAY):
            return
        if fcntl is None:
            opened.close()  # Windows removes no open file
        if folder:
            moved = path.rename(_new(path.parent, prefix))  # children of the killed run may still write to the old path
            shutil.rmtree(moved, ignore_errors=True)
        else:
            path.unlink()


def _is_own(info: os.stat_result) -> bool:
    """Whether the file belongs to this user."""
    return not hasattr(os, "geteuid") or info.st_uid == os.geteuid()


def _locked(opened: BinaryIO, path: Path) -> bool | None:
    """Whether this process now holds the lock of the file at `path`; False if another holds it or has removed the file.

    None: locks are not supported."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    try:
        return os.path.samestat(os.fstat(opened.fileno()), path.lstat())
    except FileNotFoundError:
        return False


def _new(folder: Path, prefix: str) -> Path:
    return folder / f"{prefix}{secrets.token_hex(8)}{SUFFIX}"


def _opened(path: Path, more: int, mode: int = 0o600) -> BinaryIO:
    return open(os.open(path, _FLAGS | more, mode), "rb")


def _real(target: Path) -> tuple[Path, int | None]:
    """The path with links resolved, and the mode of a file there. Raises OSError if it cannot be overwritten."""
    real = Path(os.path.realpath(target))
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        return real, None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "Not an ordinary file", str(target))
    if not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(target))
    return real, stat.S_IMODE(mode)


def _flush_folder(folder: Path) -> None:
    """Flush a folder so that a new name in it survives a power failure, if the system supports it."""
    with suppress(OSError):
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
