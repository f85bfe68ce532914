"""Files named by a folder or a pattern: all of a known form, sorted by name, and the names that are left out."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass

from chainrule.errors import InputError
from chainrule.files.opened import STDIN, reading
from chainrule.files.reading import SUFFIXES, Layout
from chainrule.files.remote import expand, is_remote, without_options
from chainrule.files.rows import shown


@dataclass(frozen=True)
class Found:
    """Files, in the order in which they are read. note: how many a folder or a pattern stands for; "" for a file."""

    files: list[str]
    note: str = ""


def find(name: str, layout: Layout) -> Found:
    """The files of a name: a file, a folder, a pattern with *, ? or [, or "-"; also an address. Raises InputError for none.

    A folder stands for its files of a known form, or for all if the layout names the form; not for its folders, hidden files,
    names with _ first and incomplete results. A pattern stands for the files that it matches; ** matches any folders.
    """
    if name == STDIN or "\0" in name:
        return Found([name])
    if is_remote(name):
        return _remote(name, layout)
    if os.path.isdir(name):
        return _in_folder(name, layout)
    if glob.has_magic(name) and not os.path.lexists(name):
        return _matched(name)
    return Found([name])


def _remote(address: str, layout: Layout) -> Found:
    files, kind = expand(address)
    if kind == "file":
        return Found(files)
    if kind == "pattern":
        if not files:
            raise InputError(f"no file matches {address}")
        return Found(files, f"{address}: {_count(files)}")
    address_of = {os.path.basename(without_options(file)): file for file in files}
    found = _chosen(address, [name for name in address_of if not name.startswith(".")], layout)
    return Found([address_of[name] for name in found.files], found.note)


def _in_folder(folder: str, layout: Layout) -> Found:
    with reading(folder):
        entries = [entry for entry in os.scandir(folder) if entry.is_file() and not entry.name.startswith(".")]
    found = _chosen(folder, sorted(entry.name for entry in entries), layout)
    return Found([os.path.join(folder, name) for name in found.files], found.note)


def _chosen(folder: str, names: list[str], layout: Layout) -> Found:
    """The names of the files of a folder that are read."""
    chosen = [name for name in names if _is_input(name, layout)]
    left_out = [name for name in names if name not in chosen]
    if not chosen:
        has = f"it has {_count(names)}{f', such as {shown(names[0])}' if names else ''}"
        known = " ".join(suffix for suffix in SUFFIXES if suffix)
        raise InputError(f"the folder {folder} has no file of a known form ({known}), {has}; name files, or use --format")
    rest = f"; left out: {shown(', '.join(left_out))}" if left_out else ""
    return Found(chosen, f"{folder}: {_count(chosen)}{rest}")


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
