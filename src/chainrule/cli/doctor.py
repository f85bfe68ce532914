"""chainrule doctor: the state of the installation, and its problems with their remedies. torch is not imported."""

from __future__ import annotations

import locale
import os
import platform
import shutil
import sys
import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chainrule.cache_dir import cache_folder
from chainrule.cache_entries import KINDS, CacheEntry, cache_entries, folder_size, shown_size
from chainrule.cli.versions import OPTIONAL, REQUIRED, installed
from chainrule.errors import ModelError
from chainrule.models.control_groups import available_memory
from chainrule.models.hub import cached_ids
from chainrule.models.packaged import PACKAGED, fault
from chainrule.models.threads import available
from chainrule.ops.library.build import status

_NAMES = 12  # columns of the names
_SMALL = 2_000_000_000  # bytes of memory; the small model needs one billion


@dataclass(frozen=True)
class Problem:
    """A fault of the installation, and what to do. broken: nothing can be computed before it is mended."""

    text: str
    remedy: str
    broken: bool = False


@dataclass
class Diagnosis:
    """The state of the installation, for JSON, as lines, and the problems."""

    facts: dict[str, Any] = field(default_factory=dict)
    lines: list[tuple[str, str]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    @property
    def broken(self) -> bool:
        """Whether a problem prevents all computation."""
        return any(problem.broken for problem in self.problems)

    def add(self, name: str, facts: Any, line: str) -> None:
        """Add what was found out about one subject."""
        self.facts[name.replace(" ", "_")] = facts
        self.lines.append((name, line))

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return self.facts | {"problems": [{"index": i} | vars(problem) for i, problem in enumerate(self.problems)]}

    def __str__(self) -> str:
        width = max(40, min(100, shutil.get_terminal_size().columns))
        rows = [(name, line) for name, line in self.lines]
        rows += [("problem" if p.broken else "warning", f"{p.text}: {p.remedy}") for p in self.problems]
        if not self.problems:
            rows.append(("result", "no problems found"))
        indent = " " * _NAMES
        return "\n".join(
            textwrap.fill(
                f"{name:{_NAMES}}{line}", width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
            )
            for name, line in rows
        )


def diagnose() -> Diagnosis:
    """Look at everything that affects results, speed and the first run."""
    found = Diagnosis()
    for look in (_versions, _kernels, _threads, _memory, _cache, _models, _terminal):
        look(found)
    return found


def _versions(found: Diagnosis) -> None:
    numbers: dict[str, str | None] = {"chainrule": installed("chainrule"), "Python": platform.python_version()}
    numbers |= {name: installed(name) for name in (*REQUIRED, *OPTIONAL)}
    shown = ", ".join(f"{name} {number}" for name, number in numbers.items() if number is not None)
    found.add("versions", numbers, shown)
    found.add("system", platform.platform(), platform.platform())
    for name in REQUIRED:
        if numbers[name] is None:
            found.problems.append(Problem(f"{name} is not installed", f"pip install {name}", broken=True))
    if numbers["gguf"] is None:
        remedy = "pip install 'chainrule[gguf]', for chainrule pull and .gguf files"
        found.problems.append(Problem("gguf is not installed", remedy))


def _kernels(found: Diagnosis) -> None:
    kernels = status()
    compiler = next(
        filter(None, map(shutil.which, [os.environ.get("CC", "").split(" ")[0] or "cc", "cc", "gcc", "clang"])), None
    )
    facts = {"compiled": bool(kernels), "reason": kernels.reason, "compiler": compiler}
    found.add("kernels", facts, kernels.reason if kernels else f"none: {kernels.reason}")
    found.lines.append(("compiler", compiler or "none"))
    if not kernels and platform.system() == "Linux" and platform.machine() == "x86_64":
        remedy = "results are the same, but slower; " + ("see the reason above" if compiler else "apt install gcc, for one")
        found.problems.append(Problem("there are no compiled kernels", remedy))


def _threads(found: Diagnosis) -> None:
    named, cores, grant = os.environ.get("OMP_NUM_THREADS"), os.cpu_count() or 1, available()
    number = int(named) if named and named.isdecimal() and int(named) > 0 else grant
    reason = "OMP_NUM_THREADS" if number != grant or named else "the physical cores that this process may use"
    waiting = os.environ.get("OMP_WAIT_POLICY", "").lower() or None
    facts = {"number": number, "reason": reason, "logical_cores": cores, "granted_cores": grant, "waiting": waiting}
    policy = f"waiting: {waiting} (OMP_WAIT_POLICY)" if waiting else "waiting: the default of OpenMP"
    found.add("threads", facts, f"{number}, from {reason}; the machine has {cores} logical cores; {policy}")
    if number > grant:
        text = f"OMP_NUM_THREADS={named} is more than the {grant} cores that this process may use"
        found.problems.append(Problem(text, "unset it, or threads wait for each other"))


def _memory(found: Diagnosis) -> None:
    total, free, limited = available_memory()
    text = f"{shown_size(total)}, of which {shown_size(free)} are available" if total and free is not None else "unknown"
    text += "; limited by a control group" if limited else ""
    found.add("memory", {"total_bytes": total, "available_bytes": free, "limited_by_control_group": limited}, text)
    if free is not None and free < _SMALL:
        remedy = "close other programs, or use a smaller model; smollm2-135m needs about 1 GB"
        found.problems.append(Problem(f"only {shown_size(free)} of memory are available", remedy))


def _cache(found: Diagnosis) -> None:
    try:
        folder, entries = cache_folder(), cache_entries()
    except (ModelError, OSError) as error:
        found.add("cache", None, "none")
        found.problems.append(Problem(str(error), "set CHAINRULE_CACHE to a folder to write to", broken=True))
        return
    rows = [_facts(i, each) for i, each in enumerate(entries)]
    facts = {"folder": str(folder), "writable": _is_writable(folder), "entries": rows}
    total = shown_size(sum(each.bytes for each in entries))
    sizes = {kind: sum(each.bytes for each in entries if each.kind == kind) for kind in KINDS}
    parts = ", ".join(f"{kind} {shown_size(size)}" for kind, size in sizes.items() if size)
    found.add("cache", facts, f"{folder}: {total}{f' ({parts})' if parts else ''}")
    if not facts["writable"]:
        remedy = "set CHAINRULE_CACHE to a folder to write to"
        found.problems.append(Problem(f"the cache {folder} cannot be written", remedy, broken=not _pulled()))
    from huggingface_hub import constants

    hub = Path(constants.HF_HUB_CACHE)
    size = folder_size(hub)
    found.add("hub cache", {"folder": str(hub), "bytes": size}, f"{hub}: {shown_size(size)}")


def _facts(index: int, entry: CacheEntry) -> dict[str, Any]:
    return {"index": index} | vars(entry) | {"path": str(entry.path)}


def _is_writable(folder: Path) -> bool:
    """Whether files can be made in a folder, or in the nearest one above it that exists."""
    existing = next((path for path in (folder, *folder.parents) if path.exists()), folder)
    return existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)


def _pulled() -> list[str]:
    return [name for name in PACKAGED if fault(name) is None]


def _models(found: Diagnosis) -> None:
    try:
        packaged, faults = _pulled(), {name: fault(name) for name in PACKAGED}
    except ModelError:  # reported with the cache
        packaged, faults = [], {}
    hub = cached_ids()
    names = [*packaged, *(f"{name} (hub)" for name in hub)]
    found.add("models", {"packaged": packaged, "hub": hub}, ", ".join(names) or "none here")
    for name, reason in faults.items():
        if reason:
            found.problems.append(Problem(f"{name} {reason}", f"chainrule pull {name}"))


def _terminal(found: Diagnosis) -> None:
    encoding, columns = locale.getencoding(), shutil.get_terminal_size().columns
    terminal = sys.stdout is not None and sys.stdout.isatty()
    found.add(
        "terminal",
        {"encoding": encoding, "columns": columns, "terminal": terminal},
        f"{encoding}, {columns} columns" if terminal else f"{encoding}; standard output is no terminal",
    )
    if terminal and encoding.lower().replace("-", "") != "utf8":
        text = f"the encoding {encoding} of the terminal has not all characters"
        found.problems.append(Problem(text, "export LANG=C.UTF-8, else they are shown as \\x…"))
