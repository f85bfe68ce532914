"""The cache folder, which holds models and compiled kernels."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from chainrule.errors import ModelError


def cache_folder() -> Path:
    """$CHAINRULE_CACHE, else the platform's cache folder. Raises ModelError if neither can be determined."""
    named = os.environ.get("CHAINRULE_CACHE")
    try:
        return Path(named).expanduser() if named else _platform()
    except RuntimeError as error:  # this user, or the one named, has no home
        cause = f"CHAINRULE_CACHE={named} does not name a folder" if named else "there is no home folder for the cache"
        reason = str(error).rstrip(".")
        raise ModelError(f"{cause} ({reason[:1].lower()}{reason[1:]}); set CHAINRULE_CACHE to a folder to write to") from error


def _platform() -> Path:
    if sys.platform == "win32":
        return (_named("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "chainrule" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "chainrule"
    return (_named("XDG_CACHE_HOME") or Path.home() / ".cache") / "chainrule"


def _named(variable: str) -> Path | None:
    """The folder that the variable names. An empty or relative one counts as unset (XDG specification)."""
    folder = Path(os.environ.get(variable, ""))
    return folder if folder.is_absolute() else None
