"""How idle threads of OpenMP wait: chosen on the command line, before torch is loaded. A library may not choose it."""

from __future__ import annotations

import os

from chainrule.ops.waiting import let_sleep


def choose_waiting() -> None:
    """Let the idle threads of this process sleep, unless the user has chosen."""
    let_sleep(os.environ)
