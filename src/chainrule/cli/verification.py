"""chainrule verify: the check of all properties, --code (encode a text) and --decode."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from chainrule.cli.output import OUT, note, print_result
from chainrule.cli.progress import progress
from chainrule.errors import InputError, OutputError
from chainrule.files.opened import STDIN, name_of, read_all
from chainrule.files.rows import bad_byte
from chainrule.files.writing import Target, write_bytes

if TYPE_CHECKING:
    from chainrule.language import LanguageModel
    from chainrule.verify.report import Report

Load = Callable[[], "LanguageModel"]


def verify_numbers(load: Load, texts: list[str] | None, json: bool) -> None:
    """Check every property. Exits with code 1 if one fails."""
    if texts is not None and not texts:
        raise InputError("there is nothing to verify: the input has no text")
    lm = load()
    with progress("properties") as update:
        report = lm.verify(texts, progress=update)
    _print_report(report, json)


def verify_code(load: Load, file: str, output: str | None, json: bool) -> None:
    """Encode a text, decode it again, and compare. The code is written to `output`, or to FILE.code."""
    text = _decode_utf8(read_all(file), name_of(file))
    if not text:
        raise InputError(f"{name_of(file)} is empty, so there is nothing to encode")
    if output is None and file == STDIN:
        raise InputError("give --output for the code: the text comes from standard input")
    target = Path(output or f"{file}.code")
    _check_target(target, file)
    lm = load()
    from chainrule.verify.code import prove

    with progress("tokens") as update:
        code, report = prove(lm, text, update)
    write_bytes(target, code.to_bytes(), inputs=[file])
    note(f"chainrule: the code is in {target}; chainrule verify --decode {target} restores the text")
    _print_report(report, json)


def decode_file(load: Load, file: str, output: str | None) -> None:
    """Decode a code to a file or to standard output."""
    content = read_all(file)
    if output is None:
        OUT.check()
    else:
        Target(output, inputs=[file]).discard()  # raises if it cannot be written
    from chainrule.verify.code_file import Code

    code = Code.from_bytes(content)
    lm = load()
    from chainrule.verify.code import decode

    with progress("tokens") as update:
        raw = decode(lm, code, partial(update, "decoding") if update else None).encode()
    if output is None:
        OUT.write_bytes(raw)
    else:
        write_bytes(output, raw, inputs=[file])


def _print_report(report: Report, json: bool) -> None:
    print_result(report, json)
    if not report.passed:
        raise typer.Exit(1)


def _decode_utf8(raw: bytes, name: str) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{name} {bad_byte(raw[error.start], error.start)}; convert it to UTF-8 first") from error


def _check_target(target: Path, file: str) -> None:
    """Raises OutputError for a file that cannot be written, or exists and is not a code."""
    Target(target, inputs=[file]).discard()  # raises if it cannot be written
    if not target.is_file():
        return
    from chainrule.verify.code_file import MAGIC

    if not read_all(str(target)).startswith(MAGIC):
        raise OutputError(f"{target} exists and is not a chainrule code: name another file with --output")
