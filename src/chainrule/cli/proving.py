"""chainrule verify: properties of the numbers, a text coded and brought back, and a code decoded."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from chainrule.cli.inputs import decoded, opened
from chainrule.cli.progress import progress
from chainrule.cli.scoring import tell
from chainrule.errors import InputError, OutputError
from chainrule.verify import Code, Report, decode, prove
from chainrule.verify.code import MAGIC

if TYPE_CHECKING:
    from chainrule.language import LanguageModel

Load = Callable[[], "LanguageModel"]


def verify_numbers(load: Load, texts: list[str] | None, json: bool) -> None:
    """Every property; leaves with exit code 1 where one has failed."""
    if texts is not None and not texts:
        raise InputError("there is nothing to verify on: the input holds no text")
    lm = load()
    with progress("properties") as say:
        report = lm.verify(texts, progress=say)
    _tell(report, json)


def verify_code(load: Load, file: str, output: str | None, json: bool) -> None:
    """Code a text and decode it again; the code is left in `output`, or beside the file."""
    text = decoded(_read(file), file)
    if not text:
        raise InputError(f"{file} is empty, so there is nothing to code")
    target = Path(output or f"{file}.code")
    _check_target(target)
    lm = load()
    with progress("tokens") as say:
        code, report = prove(lm, text, say)
    _write(target, code.to_bytes())
    print(f"chainrule: the code is in {target}; chainrule verify --decode {target} gives the text back", file=sys.stderr)
    _tell(report, json)


def decode_file(load: Load, file: str, output: str | None) -> None:
    """The text of a code, to a file or to standard output."""
    code = Code.from_bytes(_read(file))
    lm = load()
    with progress("tokens") as say:
        raw = decode(lm, code, partial(say, "decoding") if say else None).encode()
    if output is None:
        sys.stdout.buffer.write(raw)
    else:
        _write(Path(output), raw)


def _tell(report: Report, json: bool) -> None:
    tell(report, json)
    if not report.passed:
        raise typer.Exit(1)


def _read(file: str) -> bytes:
    try:
        with opened(file) as stream:
            return stream.read()
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror or error}") from error


def _write(target: Path, raw: bytes) -> None:
    try:
        target.write_bytes(raw)
    except OSError as error:
        raise OutputError(f"cannot write {target}: {error.strerror or error}") from error


def _check_target(target: Path) -> None:
    """An earlier code may be written over, and nothing else."""
    try:
        with target.open("rb") as there:
            other = there.read(len(MAGIC)) != MAGIC
    except FileNotFoundError:
        return
    except OSError as error:
        raise OutputError(f"cannot write {target}: {error.strerror or error}") from error
    if other:
        raise OutputError(f"{target} is there, and is no code of chainrule: name another file with --output")
