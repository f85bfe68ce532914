"""Bytes and characters of files and standard input. Gzip and Zstandard are detected by content and decompressed."""

from __future__ import annotations

import codecs
import gzip
import io
import os
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from chainrule.errors import InputError
from chainrule.files.remote import is_remote, open_remote
from chainrule.files.rows import UTF8

STDIN = "-"
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_WIDE = {codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32", codecs.BOM_UTF16_LE: "utf-16",
         codecs.BOM_UTF16_BE: "utf-16"}  # fmt: skip
_TABLES = {b"PAR1": "parquet", b"ARROW1": "arrow"}


def name_of(file: str) -> str:
    """The name of the file in messages."""
    return "standard input" if file == STDIN else file


def is_stream(file: str) -> bool:
    """Whether it can be read only once: standard input, or a pipe, such as <(…) of a shell."""
    return file == STDIN or not (is_remote(file) or os.path.isfile(file))


def check_encoding(encoding: str) -> None:
    """Raises InputError if the name is not a text encoding."""
    try:
        io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    except (LookupError, ValueError):
        raise InputError(
            f"--encoding {encoding!r} is not a text encoding, such as utf-8, utf-16, latin-1, cp1252 or shift_jis"
        ) from None


@contextmanager
def opened(file: str) -> Iterator[IO[bytes]]:
    """A file, or standard input for "-", opened for bytes. Raises InputError, also for errors in the body of the context."""
    if file == STDIN and sys.stdin is None:
        raise InputError("standard input is closed: pass texts, or --file")
    if "\0" in file:
        raise InputError(f"cannot read {file!r}: file names cannot contain a zero byte")
    with reading(file):
        if file == STDIN:
            yield sys.stdin.buffer
        else:
            with open_remote(file) if is_remote(file) else open(file, "rb") as stream:
                yield stream


@contextmanager
def reading(file: str) -> Iterator[None]:
    """Convert errors of the system and the libraries on reading a file to InputError."""
    try:
        yield
    except EOFError:
        raise InputError(f"cannot read {name_of(file)} to its end: its compressed data is truncated") from None
    except (OSError, zlib.error) as error:
        message = getattr(error, "strerror", None) or next(iter(str(error).splitlines()), type(error).__name__)
        if "Truncated compressed" in message:
            raise InputError(f"cannot read {name_of(file)} to its end: its compressed data is truncated") from None
        raise InputError(f"cannot read {name_of(file)}: {message}") from None


def read_all(file: str) -> bytes:
    """All bytes of a file or of standard input. Raises InputError."""
    with opened(file) as stream:
        return stream.read()


@contextmanager
def lines_of(file: str, encoding: str | None, newline: str) -> Iterator[Iterator[str]]:
    """The lines of a text file with their ends, as TextIOWrapper cuts them, undecodable bytes as surrogates."""
    with opened(file) as stream:
        plain = decompressed(stream, file)
        _check_head(plain, file, encoding)
        text = io.TextIOWrapper(plain, encoding=encoding or UTF8, errors="surrogateescape", newline=newline)
        try:
            yield _each(text, file, encoding or UTF8)
        finally:
            if plain is stream:
                text.detach()  # standard input stays open


def _each(text: io.TextIOWrapper, file: str, encoding: str) -> Iterator[str]:
    with reading(file):
        try:
            for number, line in enumerate(text):
                yield line if number else line.removeprefix("\ufeff")
        except UnicodeError as error:
            raise InputError(f"{name_of(file)} is not {encoding.upper()}: {str(error)[-100:]}") from None


def decompressed(stream: IO[bytes], file: str) -> Any:
    buffered: Any = stream if hasattr(stream, "peek") else io.BufferedReader(stream)  # pyrefly: ignore[bad-specialization]
    head = buffered.peek(4)[:4]
    if head.startswith(_GZIP):
        return gzip.GzipFile(fileobj=buffered)
    if head.startswith(_ZSTD):
        import pyarrow

        return io.BufferedReader(pyarrow.CompressedInputStream(pyarrow.PythonFile(buffered, "r"), "zstd"))
    return buffered


def _check_head(stream: Any, file: str, encoding: str | None) -> None:
    """Raises InputError if the first bytes show another format or encoding."""
    head = stream.peek(8)[:8]
    for mark, form in _TABLES.items():
        if head.startswith(mark):
            raise InputError(f"{name_of(file)} is not text, it begins like {form}: use --format {form}")
    wide = next((name for mark, name in _WIDE.items() if head.startswith(mark)), None)
    if encoding is None and wide is not None:
        raise InputError(f"{name_of(file)} is not UTF-8: it begins with the byte-order mark of {wide}; use --encoding {wide}")


def same_file(target: str, file: str) -> bool:
    """Whether the output file is the input file."""
    try:
        output = os.stat(target)
        source = os.fstat(sys.stdin.fileno()) if file == STDIN else os.stat(file)
    except (OSError, ValueError, AttributeError):  # one of them does not exist, or is not a real file
        return False
    return os.path.samestat(output, source)
