"""Standard output and standard error: UTF-8 into pipes and files, and one clear line where they cannot be written to."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from chainrule.errors import OutputError


class StandardOutput:
    """sys.stdout as it is at the moment, with failures as OutputError."""

    def check(self) -> None:
        """Raises OutputError where there is none."""
        _ = self.stream

    @property
    def stream(self) -> Any:
        if sys.stdout is None:
            raise OutputError("standard output is closed: write a file with --output, or leave it open")
        return sys.stdout

    def isatty(self) -> bool:
        return self.stream.isatty()

    def shows(self, text: str) -> bool:
        """Whether its encoding has these characters."""
        try:
            text.encode(self.stream.encoding)
        except UnicodeEncodeError:
            return False
        return True

    def write(self, text: str) -> None:
        try:
            self.stream.write(text)
        except OSError as error:
            raise self._lost(error) from None

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def write_bytes(self, raw: bytes) -> None:
        self.flush()
        try:
            self.stream.buffer.write(raw)
        except OSError as error:
            raise self._lost(error) from None

    def flush(self) -> None:
        if sys.stdout is None:
            return
        try:
            sys.stdout.flush()
        except OSError as error:
            raise self._lost(error) from None

    def _lost(self, error: OSError) -> OutputError:
        with suppress(OSError, ValueError):  # what is still to be flushed goes nowhere
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())
        if isinstance(error, BrokenPipeError):
            return OutputError("whoever read standard output stopped reading, so the rest was not written")
        return OutputError(f"cannot write to standard output: {error.strerror or error}")

    def __getattr__(self, name: str) -> Any:  # what Rich asks for
        return getattr(self.stream, name)


OUT = StandardOutput()


def prepare() -> None:
    """Set up this process's own standard streams: data leave it in UTF-8; a terminal gets \\x… for what it cannot show."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(
                os.devnull, os.O_RDWR
            )  # takes the number, so that no file gets it, which libraries would write messages into
    if sys.stdout is not None:
        encoding = {} if sys.stdout.isatty() else {"encoding": "utf-8", "newline": ""}
        sys.stdout.reconfigure(errors="backslashreplace", **encoding)  # pyrefly: ignore[missing-attribute]


def note(message: str) -> None:
    """A line on standard error, where there is one."""
    if sys.stderr is not None:
        with suppress(OSError):
            print(message, file=sys.stderr, flush=True)


def print_json(value: Any) -> None:
    """One JSON value on standard output."""
    from chainrule.files.writing import json_text

    OUT.write(json_text(value, indent=2) + "\n")


def show(*renderables: Any) -> None:
    """In colour, for a terminal."""
    from rich.console import Console

    console = Console(file=OUT, highlight=False)  # pyrefly: ignore[bad-argument-type]
    for renderable in renderables:
        console.print(renderable)


def tell(result: Any, json: bool) -> None:
    """An explanation or a report: JSON where asked, rich on a terminal, plain lines into a pipe."""
    if json:
        print_json(result.to_dict())
    elif OUT.isatty():
        show(result)
    else:
        OUT.write(f"{result}\n")
