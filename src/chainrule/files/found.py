"""Files named by a folder or a pattern: all of a known form, sorted by name, and the names that are left out."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass

from chainrule.errors import InputError
from chainrule.files.opened import STDIN, reading
from chainrule.files.reading import SUFFIXES, Layout
from chainrule.files.rows import shown


@dataclass(frozen=True)
class Found:
    """Files, in the order in which they are read. note: how many a folder or a pattern stands for; "" for a file."""

    files: list[str]
    note: str = ""


def find(name: str, layout: Layout) -> Found:
    """The files of a name: a file, a folder, a pattern with *, ? or [, or "-". Raises InputError if it stands for none.

    A folder stands for its files of a known form, or for all if the layout names the form; not for its folders, hidden files,
    names with _ first and incomplete results. A pattern stands for the files that it matches; ** matches any folders.
    """
    if name == STDIN or "\0" in name:
        return Found([name])
    if os.path.isdir(name):
        return _in_folder(name, layout)
    if glob.has_magic(name) and not os.path.lexists(name):
        return _matched(name)
    return Found([name])


def _in_folder(folder: str, layout: Layout) -> Found:
    with reading(folder):
        entries = [entry for entry in os.scandir(folder) if entry.is_file() and not entry.name.startswith(".")]
    names = sorted(entry.name for entry in entries)
    chosen = [name for name in names if _is_input(name, layout)]
    left_out = [name for name in names if name not in chosen]
    if not chosen:
        has = f"it has {_count(names)}{f', such as {shown(names[0])}' if names else ''}"
        known = " ".join(suffix for suffix in SUFFIXES if suffix)
        raise InputError(f"the folder {folder} has no file of a known form ({known}), {has}; name files, or use --format")
    rest = f"; left out: {shown(', '.join(left_out))}" if left_out else ""
    return Found([os.path.join(folder, name) for name in chosen], f"{folder}: {_count(chosen)}{rest}")


def _is_input(name: str, layout: Layout) -> bool:
    if name.startswith("_") or ".incomplete." in name:
        return False
    try:
        layout.form_of(name)
    except InputError:
        return False
    return True


def _matched(pattern: str) -> Found:
    files = sorted(file for file in glob.glob(os.path.expanduser(pattern), recursive=True) if os.path.isfile(file))
    if not files:
        raise InputError(f"no file matches {pattern}; the current folder is {os.getcwd()}")
    return Found(files, f"{pattern}: {_count(files)}")


def _count(files: Sequence[str]) -> str:
    return f"{len(files)} file{'s' * (len(files) != 1)}"
