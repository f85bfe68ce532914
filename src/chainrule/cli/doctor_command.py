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
    converted = "converted"
    models = "models"
    all = "all"


@command("Models and checks", omit=["output"])
def doctor(
    *,
    clear: Annotated[
        Clear | None,
        Option(
            metavar="WHAT",
            help="Instead: remove kernels, models converted from .gguf files, packaged models, or all from the cache.",
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
    from chainrule.cli.caches import FOLDERS, clear, entries, shown_size
    from chainrule.cli.output import OUT, print_json

    kinds = list(FOLDERS) if what is Clear.all else [what.value]
    models = next(each for each in entries() if each.kind == "models")
    if (
        "models" in kinds
        and models.names
        and not yes
        and not _confirmed(f"{', '.join(models.names)}, {shown_size(models.bytes)}")
    ):
        raise InputError("nothing was removed")
    removed = clear(kinds)
    if json:
        rows = [{"kind": each.kind, "folder": str(each.folder), "names": each.names, "bytes": each.bytes} for each in removed]
        print_json({"removed": rows, "bytes": sum(each.bytes for each in removed)})
        return
    for each in removed:
        OUT.write(f"removed {each.kind}: {len(each.names)} from {each.folder}, {shown_size(each.bytes)}\n")
    if not removed:
        OUT.write(f"there is nothing to remove ({what.value})\n")


def _confirmed(models: str) -> bool:
    """Ask on the terminal. Raises InputError without one."""
    if sys.stdin is None or not sys.stdin.isatty():
        raise InputError(f"--clear removes models that are downloaded again ({models}): add --yes")
    return typer.confirm(f"Remove the models {models}?", err=True)
