"""The command that describes the installation and clears caches: doctor."""

# Heavy imports are inside functions, after the arguments have been parsed.

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import typer
from typer import Option

from chainrule.cli.app import command
from chainrule.cli.options import OutputOptions
from chainrule.errors import InputError


class Clear(StrEnum):
    """The part of the cache that is removed."""

    kernels = "kernels"
    conversions = "conversions"
    models = "models"
    findings = "findings"
    all = "all"


@command("Models and checks", omit=["output"])
def doctor(
    *,
    clear: Annotated[
        Clear | None,
        Option(
            metavar="WHAT",
            help="Instead: remove kernels, conversions of .gguf files, models, findings of the probe, or all from the cache.",
        ),
    ] = None,
    yes: Annotated[bool, Option("--yes", "-y", help="With --clear: do not ask before models are removed.")] = False,
    outputs: OutputOptions,
) -> None:
    """Describe the installation, and what is wrong with it. Exit code 1 if nothing can be computed."""
    from chainrule.cli.output import OUT, print_json

    if yes and clear is None:
        raise InputError("--yes is for --clear")
    if clear is not None:
        _clear(clear, yes, outputs.json)
        return
    from chainrule.cli.doctor import diagnose

    found = diagnose()
    if outputs.json:
        print_json(found.to_dict())
    else:
        OUT.write(f"{found}\n")
    if found.broken:
        raise typer.Exit(1)


def _clear(what: Clear, yes: bool, json: bool) -> None:
    from chainrule.cache_entries import cache_entries, remove, shown_size
    from chainrule.cli.output import OUT, print_json

    entries = [each for each in cache_entries() if what is Clear.all or each.kind == what.value]
    models = [each for each in entries if each.kind == "models"]
    names = f"{', '.join(each.name for each in models)}, {shown_size(sum(each.bytes for each in models))}"
    if models and not yes and not _confirmed(names):
        raise InputError("nothing was removed")
    for entry in entries:
        remove(entry)
    if json:
        rows = [
            {"index": i, "kind": each.kind, "name": each.name, "path": str(each.path), "bytes": each.bytes}
            for i, each in enumerate(entries)
        ]
        print_json({"removed": rows, "bytes": sum(each.bytes for each in entries)})
        return
    for entry in entries:
        name = "" if entry.name == entry.kind else f" {entry.name}"
        OUT.write(f"removed {entry.kind}{name}: {shown_size(entry.bytes)} in {entry.path}\n")
    if not entries:
        OUT.write(f"there is nothing to remove ({what.value})\n")


def _confirmed(models: str) -> bool:
    """Ask on the terminal. Raises InputError without one."""
    if sys.stdin is None or not sys.stdin.isatty():
        raise InputError(f"--clear removes models that are downloaded again ({models}): add --yes")
    return typer.confirm(f"Remove the models {models}?", err=True)
