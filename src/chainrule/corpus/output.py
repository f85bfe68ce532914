"""The output folder: a manifest, and parts that are written whole. One run at a time writes to it.

_manifest.json          what was asked, of which files, and which model gave the numbers
part-00003-0007.parquet part 7 of window 3; readers of Parquet folders leave out names that begin with _ or .
"""

from __future__ import annotations

import json
import os
import socket
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from chainrule.corpus.table import from_parquet
from chainrule.corpus.work import Part, Tally
from chainrule.errors import InputError, OutputError
from chainrule.files.writing import write_bytes
from chainrule.scratch import SUFFIX

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

MANIFEST, LOCK = "_manifest.json", ".lock"
FORMAT = 1  # of the folder


class Output:
    """An output folder, locked within its context. Raises OutputError."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)

    def __enter__(self) -> Output:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = open(self.folder / LOCK, "a+b")
        except OSError as error:
            raise self._failed(error) from None
        try:
            self._take(self._lock)
        except BaseException:
            self._lock.close()
            raise
        for name in os.listdir(self.folder):
            if name.startswith(".") and name.endswith(SUFFIX):  # of a run that was killed: the lock is ours
                with suppress(OSError):
                    (self.folder / name).unlink()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._lock.close()

    def manifest(self) -> dict[str, Any] | None:
        """The manifest; None for a new folder. Raises InputError for a folder with files of others, or a damaged manifest."""
        try:
            found: Any = json.loads((self.folder / MANIFEST).read_text("utf-8"))
        except FileNotFoundError:
            if names := self._names():
                raise InputError(
                    f"{self.folder} has {names[0]}, but no {MANIFEST}: name an empty folder, or let --fresh remove the parts"
                ) from None
            return None
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(f"{self.folder / MANIFEST} cannot be read: {error}; --fresh starts anew") from None
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            raise InputError(
                f"{self.folder / MANIFEST} has another format than {FORMAT}: use the version that wrote it, or --fresh"
            )
        return found

    def write_manifest(self, manifest: dict[str, Any]) -> None:
        self.write(MANIFEST, (json.dumps({"format": FORMAT, **manifest}, indent=1, ensure_ascii=False) + "\n").encode())

    def clear(self) -> None:
        """Remove the manifest and all parts; other files stay."""
        try:
            for name in [*self._names(), MANIFEST]:
                with suppress(FileNotFoundError):
                    (self.folder / name).unlink()
        except OSError as error:
            raise self._failed(error) from None

    def done(self, part: Part) -> Tally | None:
        """The tally of a part that is there and whole; None if there is none. Raises InputError if it must be scored again."""
        path = self.folder / part.name
        if not path.is_file():
            return None
        digest, tally = from_parquet(os.fspath(path))
        if digest != part.digest:
            raise InputError("it has other documents than this part of the input")
        return tally

    def write(self, name: str, raw: bytes) -> None:
        """Write a file whole or not at all: under a temporary name, flushed to the disk, then renamed."""
        write_bytes(self.folder / name, raw)

    def _names(self) -> list[str]:
        names = (entry.name for entry in os.scandir(self.folder))
        return sorted(name for name in names if name.startswith("part-") and name.endswith(".parquet"))

    def _take(self, lock: BinaryIO) -> None:
        """Lock the folder. The system releases the lock of a process that was killed."""
        if fcntl is None:
            return
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read(200).decode(errors="replace").strip() or "another process"
            raise OutputError(f"{self.folder} is being written by {holder}: wait for it, or name another folder") from None
        except OSError:  # a file system without locks
            return
        with suppress(OSError):
            lock.truncate(0)
            lock.write(f"process {os.getpid()} on {socket.gethostname()}\n".encode())
            lock.flush()

    def _failed(self, error: OSError) -> OutputError:
        return OutputError(f"cannot write to {self.folder}: {error.strerror or error}")


def part_name(window: int, part: int) -> str:
    """The name of the file of a part."""
    return f"part-{window:05d}-{part:04d}.parquet"
