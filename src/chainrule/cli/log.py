"""Messages of the library's log (the logger "chainrule") on standard error, if that is a terminal."""

from __future__ import annotations

import logging
import sys

from chainrule.cli.output import note


class _Notes(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        if sys.stderr is not None and sys.stderr.isatty():
            note(f"chainrule: {record.getMessage()}")


def show_log() -> None:
    """Show the messages from now on."""
    logger = logging.getLogger("chainrule")
    logger.setLevel(logging.INFO)
    if not any(isinstance(handler, _Notes) for handler in logger.handlers):
        logger.addHandler(_Notes())
