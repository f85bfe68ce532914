"""The manifest: what a run was asked, of which files, and which model gave its numbers. A later run must ask the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from chainrule.corpus.sources import SourceFile
from chainrule.errors import InputError

_SHOWN = 5  # differences in a message


def refuse_differences(before: dict[str, Any], now: dict[str, Any], folder: str) -> None:
    """Raises InputError if a run differs from that of the manifest in what both say."""
    changed = [*_of_sources(before.get("sources", []), now["sources"])] if "sources" in now else []
    changed += [f"{name} was {_shown(old)} and is {_shown(new)}" for name, old, new in _differences(before, now)]
    if changed:
        more = f", and {len(changed) - _SHOWN} more differences" if len(changed) > _SHOWN else ""
        raise InputError(
            f"{folder} was begun otherwise: {'; '.join(changed[:_SHOWN])}{more}. Give the same again, another folder, "
            "or --fresh to remove its parts and start anew"
        )


def sources_of(files: Sequence[SourceFile]) -> list[dict[str, Any]]:
    """The files as the manifest has them."""
    return [file.to_dict() for file in files]


def _differences(before: dict[str, Any], now: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """The names of settings that differ, with both values. Files have sentences of their own; the name of a model is free."""
    for key, new in now.items():
        old = before.get(key)
        if isinstance(new, dict) and isinstance(old, dict):
            yield from _differences(old, new)
        elif old != new and key not in ("sources", "model"):
            yield key.replace("_", " "), old, new


def _of_sources(before: Sequence[dict[str, Any]], now: Sequence[dict[str, Any]]) -> Iterator[str]:
    old, new = ({each["file"]: each for each in sources} for sources in (before, now))
    for file in new:
        if file not in old:
            yield f"{file} was not among the files"
        elif new[file] != old[file]:
            size = f" ({old[file]['size']} bytes, now {new[file]['size']})" if old[file]["size"] != new[file]["size"] else ""
            yield f"{file} has changed{size}"
    for file in old:
        if file not in new:
            yield f"{file} is not among the files any more"
    if list(old) != list(new) and set(old) == set(new):
        yield "the files come in another order"


def _shown(value: Any) -> str:
    return "not set" if value is None else repr(value) if isinstance(value, str) else str(value)
