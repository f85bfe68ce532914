"""The cache folder: what it holds, and its removal."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from chainrule.cache_dir import cache_folder
from chainrule.errors import OutputError

FOLDERS = {"models": "models", "converted": "conversions", "kernels": "kernels", "fingerprints": "fingerprints"}  # by kind


@dataclass(frozen=True)
class Entries:
    """The files of one kind in the cache folder, in bytes on disk."""

    kind: str
    folder: Path
    names: list[str]
    bytes: int


def entries() -> list[Entries]:
    """The content of the cache folder, by kind. Raises ModelError if the folder cannot be determined."""
    return [_entries(kind, cache_folder() / name) for kind, name in FOLDERS.items()]


def clear(kinds: Iterable[str]) -> list[Entries]:
    """Remove these kinds, and return what was removed. Raises OutputError for a file that cannot be removed."""
    removed = [each for each in entries() if each.kind in kinds and each.folder.exists()]
    for each in removed:
        try:
            shutil.rmtree(each.folder)
        except OSError as error:
            raise OutputError(f"cannot remove {error.filename or each.folder}: {error.strerror or error}") from error
    return removed


def size(folder: Path) -> int:
    """The bytes of all files in a folder and its subfolders, links not followed; 0 if there is none."""
    files = (Path(parent) / name for parent, _, names in os.walk(folder) for name in names)
    return sum(file.lstat().st_size for file in files if file.is_file() and not file.is_symlink())


def shown_size(count: float) -> str:
    """A number of bytes with its unit, such as 517 MB."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def _entries(kind: str, folder: Path) -> Entries:
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith(".")) if folder.is_dir() else []
    return Entries(kind, folder, names, size(folder))
