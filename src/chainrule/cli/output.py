"""Standard output in UTF-8, with write failures raised as OutputError, and messages on standard error."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from chainrule.errors import OutputError


class StandardOutput:
    """The current sys.stdout. Failures to write to it raise OutputError."""

    def check(self) -> None:
        """Raises OutputError if it is closed."""
        _ = self.stream

    @property
    def stream(self) -> Any:
        if sys.stdout is None:
            raise OutputError("standard output is closed: open it, or write a file with --output")
        return sys.stdout

    def isatty(self) -> bool:
        return self.stream.isatty()

    def write(self, text: str) -> None:
        try:
            self.stream.write(text)
        except OSError as error:
            raise self._error_of(error) from None

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def write_bytes(self, raw: bytes) -> None:
        self.flush()
        try:
            self.stream.buffer.write(raw)
        except OSError as error:
            raise self._error_of(error) from None

    def flush(self) -> None:
        if sys.stdout is None:
            return
        try:
            sys.stdout.flush()
        except OSError as error:
            raise self._error_of(error) from None

    def _error_of(self, error: OSError) -> OutputError:
        with suppress(OSError, ValueError):  # discards the buffered output
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())
        if isinstance(error, BrokenPipeError):
            return OutputError("the reader of standard output stopped reading, so the rest was not written")
        return OutputError(f"cannot write to standard output: {error.strerror or error}")

    def __getattr__(self, name: str) -> Any:  # for Rich
        return getattr(self.stream, name)


OUT = StandardOutput()


def prepare() -> None:
    """Set up the standard streams: UTF-8 into pipes and files; \\x… for characters that a terminal cannot show."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            # Reserves the number, so that no file gets it and receives the messages of libraries
            os.open(os.devnull, os.O_RDWR)
    if sys.stdout is not None:
        encoding = {"encoding": "utf-8", "newline": ""}
        if sys.stdout.isatty():
            encoding = {"encoding": "ascii"} if _is_c_locale() else {}
        sys.stdout.reconfigure(errors="backslashreplace", **encoding)  # pyrefly: ignore[missing-attribute]
    if sys.stderr is not None and sys.stderr.isatty() and _is_c_locale():
        sys.stderr.reconfigure(encoding="ascii", errors="backslashreplace")  # pyrefly: ignore[missing-attribute]


def _is_c_locale() -> bool:
    """Whether the user asked for the locale C, in which terminals have only ASCII.

    Python takes UTF-8 in this locale, and may have set LC_CTYPE accordingly.
    """
    kind = os.environ.get("LC_CTYPE", "")
    names = [os.environ.get("LC_ALL", ""), "" if kind in ("C.UTF-8", "C.utf8", "UTF-8") else kind, os.environ.get("LANG", "")]
    return next((name for name in names if name), "") in ("C", "POSIX")


def note(message: str) -> None:
    """Write a line to standard error, if it is open."""
    if sys.stderr is not None:
        with suppress(OSError):
            print(message, file=sys.stderr, flush=True)


def print_json(value: Any) -> None:
    """Write one JSON value to standard output."""
    from chainrule.files.row_text import json_text

    OUT.write(json_text(value, indent=2) + "\n")


def show(*views: Any) -> None:
    """Write views: rendered on a terminal, else as plain text."""
    if OUT.isatty():
        from rich.console import Console

        console = Console(file=OUT, highlight=False)  # pyrefly: ignore[bad-argument-type]
        for view in views:
            console.print(view)
    else:
        OUT.writelines(f"{view}\n" for view in views)
    OUT.flush()


def print_result(result: Any, json: bool) -> None:
    """Write an explanation or a report: as JSON, rendered on a terminal, or as plain lines."""
    if json:
        print_json(result.to_dict())
    else:
        show(result)
