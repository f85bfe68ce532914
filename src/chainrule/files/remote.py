"""Files of other file systems, by an address such as s3://bucket/a.parquet: those that pyarrow has, and those of fsspec."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import IO, Any
from urllib.parse import quote

from chainrule.errors import InputError

_ADDRESS = re.compile("[A-Za-z][A-Za-z0-9+.-]+://")
_MAGIC = re.compile(r"[*?\[]")


def is_remote(name: str) -> bool:
    """Whether it is an address, not a path on this machine."""
    return _ADDRESS.match(name) is not None


def without_options(address: str) -> str:
    """The address without what follows a question mark, such as the endpoint of S3."""
    return address.partition("?")[0]


def open_remote(address: str) -> IO[bytes]:
    """A file, which can be read in any order. Raises InputError if the address cannot be used, and OSError."""
    system, path = _found(address)
    stream: Any = system.open_input_file(path)
    return stream


def expand(address: str) -> tuple[list[str], str]:
    """The files of an address, sorted, and what it is: "file", "folder" or "pattern". Raises InputError."""
    from pyarrow.fs import FileSelector, FileType

    system, path = _found(address)
    with _reading(address):
        [info] = system.get_file_info([path])
        if info.type == FileType.File:
            return [address], "file"
        magic = _MAGIC.search(path) if info.type == FileType.NotFound else None
        if info.type == FileType.NotFound and magic is None:
            raise InputError(f"cannot read {address}: there is no such file or folder")
        base = path if magic is None else path[: path.rindex("/", 0, magic.start())]
        selector = FileSelector(base, allow_not_found=True, recursive=magic is not None)
        found = [each.path for each in system.get_file_info(selector) if each.type == FileType.File]
    if magic is not None:
        form = _form(path)
        found = [each for each in found if form.fullmatch(each)]
    spelled = quote if quote(path.lstrip("/")) in address else str
    head, _, options = address.partition(spelled(path.lstrip("/")))
    files = [head + spelled(each.lstrip("/")) + options.lstrip("/") for each in sorted(found)]  # a folder may end in /
    return files, "folder" if magic is None else "pattern"


def _form(pattern: str) -> re.Pattern[str]:
    """A pattern of a shell as a regular expression: * and ? are within a folder, ** is any folders."""
    parts = re.split(r"(\*\*/|\*|\?|\[[^]]*\])", pattern)
    known = {"**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(known.get(part, part if part.startswith("[") else re.escape(part)) for part in parts))


@cache
def _found(address: str) -> tuple[Any, str]:
    """The file system and the path of an address: of pyarrow, if it has this file system, else of fsspec."""
    from pyarrow import ArrowInvalid
    from pyarrow.fs import FileSystem, FSSpecHandler, PyFileSystem

    try:
        return FileSystem.from_uri(address)
    except ArrowInvalid:  # not one of pyarrow's
        pass
    except Exception as error:
        raise InputError(f"cannot use {address}: {next(iter(str(error).splitlines()), '')[:200]}") from None
    try:
        from fsspec.core import url_to_fs

        system, path = url_to_fs(address)
    except Exception as error:  # an unknown address, or one whose package is not installed
        raise InputError(f"cannot use {address}: {next(iter(str(error).splitlines()), '')[:200]}") from None
    return PyFileSystem(FSSpecHandler(system)), path


@contextmanager
def _reading(address: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"cannot read {address}: {next(iter(str(error).splitlines()), '')[:200]}") from None
