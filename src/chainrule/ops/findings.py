"""What trials have found, kept in the cache folder with the conditions under which it holds.

A finding is used only under exactly these conditions. An entry that is damaged, or that another user could have written, is
ignored, and replaced after the next trial. CHAINRULE_PROBE=always makes all trials anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from chainrule.cache_dir import cache_folder
from chainrule.errors import ModelError
from chainrule.ops.library.kept import complaint
from chainrule.scratch import ScratchFile

FOLDER = "findings"  # in the cache folder
LONGEST = 1 << 20  # bytes; larger files are ignored
_FLAGS = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC"))

Conditions = Mapping[str, Any]  # of JSON


def always() -> bool:
    """Whether trials are made anew, and nothing that is kept is used."""
    return os.environ.get("CHAINRULE_PROBE") == "always"


def recall(conditions: Conditions) -> dict[str, Any] | None:
    """The finding under these conditions; None if there is none, or if trials are to be made anew."""
    if always():
        return None
    with suppress(OSError, ValueError, RecursionError, ModelError):
        kept = json.loads(_content(_entry(conditions)))
        finding = kept["finding"] if isinstance(kept, dict) and kept.keys() == {"conditions", "finding", "sha256"} else None
        if isinstance(finding, dict) and kept == _whole(conditions, finding):
            return finding
    return None


def remember(conditions: Conditions, finding: dict[str, Any]) -> None:
    """Keep a finding, unless the cache folder cannot be written."""
    with suppress(OSError, ModelError):
        entry = _entry(conditions)
        entry.parent.mkdir(parents=True, exist_ok=True)
        try:
            _content(entry)
        except OSError:  # none, or one whose mode or link would be kept
            entry.unlink(missing_ok=True)
        scratch = ScratchFile(entry)
        try:
            os.chmod(scratch.path, 0o600)
            scratch.path.write_text(_text(_whole(conditions, finding)), "utf-8")
            scratch.commit()
        finally:
            scratch.discard()


def forget(conditions: Conditions) -> None:
    """Remove the finding under these conditions."""
    with suppress(OSError, ModelError):
        _entry(conditions).unlink()


def digest(*parts: str) -> str:
    """A digest of texts, for conditions that are long."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def _whole(conditions: Conditions, finding: dict[str, Any]) -> dict[str, Any]:
    content = {"conditions": dict(conditions), "finding": finding}
    return content | {"sha256": digest(_text(content))}


def _text(content: Any) -> str:
    return json.dumps(content, sort_keys=True)


def _entry(conditions: Conditions) -> Path:
    return cache_folder() / FOLDER / f"{digest(_text(dict(conditions)))[:32]}.json"


def _content(entry: Path) -> bytes:
    """The content of an entry that only this user can have written. Raises OSError."""
    with open(os.open(entry, _FLAGS), "rb") as opened:
        status = os.fstat(opened.fileno())
        foreign = hasattr(os, "geteuid") and complaint(status)
        if not stat.S_ISREG(status.st_mode) or foreign or status.st_size > LONGEST:
            raise OSError(f"{entry} is ignored")
        return opened.read()
