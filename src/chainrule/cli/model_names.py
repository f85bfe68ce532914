"""Names of models, as a shell completes them: packaged ones, those of the hub's cache, folders and .gguf files."""

from __future__ import annotations

import glob
import os


def complete_model(incomplete: str) -> list[str]:
    """The names that begin like this. A folder ends with its separator."""
    from chainrule.models.hub import cached_ids
    from chainrule.models.packaged import PACKAGED

    names = [name for name in (*PACKAGED, *cached_ids()) if name.startswith(incomplete)]
    paths = sorted(glob.glob(glob.escape(incomplete) + "*"))
    folders = [path + os.sep for path in paths if os.path.isdir(path)]
    return [*names, *folders, *(path for path in paths if path.lower().endswith(".gguf"))]
