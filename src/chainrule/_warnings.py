"""Keep transformers' warnings and progress bars off the user's terminal. Warnings of chainrule point to the user's line."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock
from typing import Any

_ONE_AT_A_TIME = RLock()


@contextmanager
def quiet() -> Iterator[None]:
    """Silence transformers while models and tokenizers are read, and restore its settings afterwards.

    One thread at a time: these settings are global to the process, as is torch's default dtype, which transformers sets
    while it reads a model.
    """
    from transformers.utils import logging

    with _ONE_AT_A_TIME:
        yield from _quietly(logging)


def _quietly(logging: Any) -> Iterator[None]:
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)  # failures are raised
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def outside() -> int:
    """The stacklevel of the first caller outside this package, relative to the calling function."""
    level, frame = 1, sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "chainrule":
        level, frame = level + 1, frame.f_back
    return level
