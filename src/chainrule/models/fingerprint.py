"""SHA-256 digests of weight files, remembered in the cache folder as long as a file is unchanged."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from chainrule.cache_dir import cache_folder
from chainrule.errors import ModelError
from chainrule.scratch import ScratchFile

FOLDER = "fingerprints"  # in the cache folder
_SETTLED = 2_000_000_000  # nanoseconds; a file may change again within the resolution of its time of modification


def fingerprint(files: Sequence[Path]) -> str:
    """The digest of one file, as "sha256:…"; of several, the digest of their sorted names and digests.

    The digest of a file is computed again if its path, size, inode, or time of modification or change differs.
    Raises ModelError for a file that cannot be read.
    """
    digests = sorted((Path(file).name, _digest(Path(file))) for file in files)
    if len(digests) == 1:
        return f"sha256:{digests[0][1]}"
    lines = "".join(f"{digest}  {name}\n" for name, digest in digests)
    return f"sha256:{hashlib.sha256(lines.encode()).hexdigest()}"


def _digest(file: Path) -> str:
    try:
        real = Path(os.path.realpath(file))
        with real.open("rb") as opened:
            before = _state(real, os.fstat(opened.fileno()))
            entry = _entry(real)
            if entry is not None and (known := _recall(entry, before)):
                return known
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
            after = os.fstat(opened.fileno())
    except OSError as error:
        raise ModelError(f"{file} cannot be read: {error.strerror or error}") from error
    settled = time.time_ns() - max(after.st_mtime_ns, after.st_ctime_ns) > _SETTLED
    if entry is not None and settled and _state(real, after) == before:
        _remember(entry, before, digest)
    return digest


def _state(file: Path, info: os.stat_result) -> dict[str, str | int]:
    return {
        "path": str(file),
        "size": info.st_size,
        "modified": info.st_mtime_ns,
        "changed": info.st_ctime_ns,
        "device": info.st_dev,
        "inode": info.st_ino,
    }


def _entry(file: Path) -> Path | None:
    """The file in the cache that remembers the digest of this one; None without a cache folder."""
    try:
        return cache_folder() / FOLDER / f"{hashlib.sha256(os.fsencode(file)).hexdigest()[:32]}.json"
    except ModelError:
        return None


def _recall(entry: Path, state: dict[str, str | int]) -> str | None:
    """The remembered digest of a file in this state; None if there is none, or if the entry is damaged."""
    with suppress(OSError, ValueError, RecursionError):
        known = json.loads(entry.read_text("utf-8"))
        if isinstance(known, dict) and isinstance(digest := known.pop("sha256", None), str):
            return digest if known == state and len(digest) == hashlib.sha256().digest_size * 2 else None
    return None


def _remember(entry: Path, state: dict[str, str | int], digest: str) -> None:
    """Store the digest, unless the cache folder cannot be written."""
    with suppress(OSError, UnicodeError):
        entry.parent.mkdir(parents=True, exist_ok=True)
        scratch = ScratchFile(entry)
        try:
            scratch.path.write_text(json.dumps(state | {"sha256": digest}), "utf-8")
            scratch.commit()
        finally:
            scratch.discard()
