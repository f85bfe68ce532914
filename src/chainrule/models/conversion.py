"""Models of .gguf files, dequantised once and kept in the cache folder.

conversions/KEY/            a model folder. KEY: a digest of the .gguf file, the dtype and the versions that converted it
conversions/KEY/made.json   its origin, and the digest of its other files: a damaged conversion is made again
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import warnings
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from chainrule._warnings import outside, quiet
from chainrule.cache_dir import cache_folder
from chainrule.errors import ModelError, require
from chainrule.models.damage import refusing
from chainrule.models.fingerprint import fingerprint
from chainrule.models.gguf_header import read_header
from chainrule.scratch import scratch_folder

FOLDER, MADE = "conversions", "made.json"
_FORMAT = 1  # of the conversion; a higher number makes all of them anew
_SCRATCH = ".convert-"
_BYTES = {"float64": 8, "float32": 4}  # of a weight; else 2
_RATE = 7e6  # weights dequantised in a second by one core

_log = logging.getLogger("chainrule")


class NoCache(Exception):
    """A conversion that cannot be kept; the message is the reason."""


def converted(file: Path, dtype: str) -> Path | None:
    """The model folder with the weights of a .gguf file in `dtype`, from the cache, which makes it on first use.

    None, with a warning, if the cache cannot keep it. Raises ModelError for a file that cannot be converted.
    """
    require("gguf", f"reading {file}", ModelError)
    try:
        return _kept(file, dtype)
    except NoCache as reason:
        warnings.warn(
            f"{file.name} is dequantised on every load, since its conversion cannot be kept: {reason}", stacklevel=outside()
        )
        return None


def convert(file: Path, dtype: str, target: Path) -> Path:
    """Write the network and the tokenizer of a .gguf file to a folder. Raises ModelError, and OSError of the disk."""
    from chainrule.models.instantiate import read_gguf
    from chainrule.text.tokenizer import Tokenizer

    with quiet():
        lm = read_gguf(file, dtype)
        tokenizer = Tokenizer.load(str(file.parent), gguf_file=file.name)
        try:
            lm.save_pretrained(target)
            if tokenizer is not None:
                tokenizer.hf.save_pretrained(target)
        except Exception as error:  # on a full disk, Rust code raises other types than OSError
            raise OSError(str(error)) from error
    return target


def _kept(file: Path, dtype: str) -> Path:
    with refusing(str(file)):
        origin = {"sha256": fingerprint([file]), "dtype": dtype, "format": _FORMAT, "versions": _versions()}
    try:
        home = cache_folder() / FOLDER
    except ModelError as error:  # there is no home folder
        raise NoCache(str(error)) from error
    try:
        folder = home / hashlib.sha256(json.dumps(origin, sort_keys=True).encode()).hexdigest()[:32]
        if not _is_whole(folder):
            home.mkdir(parents=True, exist_ok=True)
            _announce(file, dtype, home)
            with scratch_folder(home, _SCRATCH) as scratch:
                made = convert(file, dtype, scratch / "converted")
                about = {"name": file.name, "file": str(file.absolute()), **origin, "digest": _digest(made)}
                (made / MADE).write_text(json.dumps(about, indent=1), "utf-8")
                _place(made, folder, scratch)
        with suppress(OSError):
            os.utime(folder / MADE)  # the last use
    except (OSError, UnicodeError) as error:
        raise NoCache(f"{error}; set CHAINRULE_CACHE to a folder to write to") from error
    return folder


def _announce(file: Path, dtype: str, home: Path) -> None:
    """Report the conversion. Raises NoCache if it would fill the disk."""
    with refusing(str(file)):
        weights = read_header(file)[1].elements
    needed, free = weights * _BYTES.get(dtype, 2), shutil.disk_usage(home).free
    if needed > free / 2:
        raise NoCache(f"it has {needed / 1e9:.1f} GB, and {home} has {free / 1e9:.1f} GB free")
    seconds = weights / _RATE
    time = f"{max(1, round(seconds, -1 if seconds > 10 else None)):.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
    _log.info("converting %s, once (about %s, %.2g GB)", file.name, time, needed / 1e9)


def _is_whole(folder: Path) -> bool:
    with suppress(OSError, ValueError, RecursionError, ModelError):
        about: Any = json.loads((folder / MADE).read_text("utf-8"))
        return isinstance(about, dict) and about.get("digest") == _digest(folder)
    return False


def _digest(folder: Path) -> str:
    return fingerprint([path for path in folder.iterdir() if path.name != MADE])


def _place(made: Path, folder: Path, scratch: Path) -> None:
    """Move the conversion into place. It replaces a damaged one, but not one that another process has completed."""
    if _is_whole(folder):
        return
    with suppress(FileNotFoundError):
        os.rename(folder, scratch / "damaged")
    try:
        os.rename(made, folder)
    except OSError:
        if not _is_whole(folder):
            raise


def _versions() -> dict[str, str]:
    return {package: version(package) for package in ("transformers", "gguf")}
