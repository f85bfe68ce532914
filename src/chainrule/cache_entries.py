"""The content of the cache folder: models, conversions of .gguf files, compiled kernels and digests of files.

models/NAME            a packaged model, downloaded by `pull`
conversions/KEY        a .gguf file, dequantised (`chainrule.models.conversion`)
kernels/KEY.…          a compiled library (`chainrule.ops.native`)
fingerprints/KEY.json  the digest of a weight file (`chainrule.models.fingerprint`)
findings/KEY.json      what trials on load have found (`chainrule.ops.findings`)
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import Literal, get_args

from chainrule.cache_dir import cache_folder
from chainrule.errors import OutputError
from chainrule.scratch import SUFFIX, scratch_folder

CacheKind = Literal["models", "conversions", "kernels", "fingerprints", "findings"]  # also the name of its folder
KINDS: tuple[CacheKind, ...] = get_args(CacheKind)
_SCRATCH = ".clear-"


@dataclass(frozen=True)
class CacheEntry:
    """One thing in the cache that can be removed on its own. All kernels, fingerprints and findings are one entry each."""

    kind: CacheKind
    name: str  # of a conversion: that of the .gguf file and the dtype
    path: Path
    bytes: int
    last_used: float  # seconds since 1970


def cache_entries() -> list[CacheEntry]:
    """The entries of the cache, by kind and name. A model that is being made is left out. Raises ModelError without a cache."""
    home, entries = cache_folder(), []
    for kind in KINDS:
        paths = [home / kind] if kind in ("kernels", "fingerprints", "findings") else _children(home / kind)
        for path in paths:
            if path.is_dir() and not path.name.endswith(SUFFIX) and (files := list(_files(path))):
                name, used = _about(kind, path, max(max(info.st_mtime, info.st_atime) for info in files))
                entries.append(CacheEntry(kind, name, path, sum(info.st_size for info in files), used))
    return sorted(entries, key=lambda entry: (KINDS.index(entry.kind), entry.name))


def remove(entry: CacheEntry) -> None:
    """Remove an entry, at once for other processes. It is made again when it is needed. Raises OutputError."""
    try:
        with scratch_folder(entry.path.parent, _SCRATCH) as scratch:
            os.rename(entry.path, scratch / "removed")
            shutil.rmtree(scratch / "removed")
    except FileNotFoundError:  # removed by another process
        return
    except OSError as error:
        raise OutputError(f"cannot remove {entry.path} from the cache: {error.strerror or error}") from error


def folder_size(folder: Path) -> int:
    """The bytes of all files in a folder and its subfolders, without those that links point to; 0 if there is none."""
    return sum(info.st_size for info in _files(folder) if S_ISREG(info.st_mode))


def shown_size(count: float) -> str:
    """A number of bytes with its unit, such as 517 MB."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def _about(kind: CacheKind, path: Path, used: float) -> tuple[str, float]:
    """The name of an entry and the time of its last use."""
    if kind == "conversions":
        with suppress(OSError, ValueError, KeyError, TypeError):
            about, stat = json.loads((path / "made.json").read_text("utf-8")), (path / "made.json").stat()
            return f"{about['name']} ({about['dtype']})", stat.st_mtime  # set on every use
    return path.name, used


def _children(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _files(folder: Path) -> Iterator[os.stat_result]:
    """The status of every file in a folder. Links are not followed."""
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                yield os.lstat(os.path.join(parent, name))
