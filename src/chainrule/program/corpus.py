"""chainrule corpus: the command."""

# Heavy imports are inside functions, after the arguments have been parsed.

from __future__ import annotations

from typing import Annotated, Any

from typer import Argument, Exit, Option

from chainrule.cli.app import command
from chainrule.cli.options import ModelOptions, TemperatureOptions, TextOptions, WindowOptions
from chainrule.cli.plot_options import PlotOptions
from chainrule.errors import InputError
from chainrule.program.corpus_options import DocumentColumns, FilterOptions, Per, RunOptions


@command(
    "Score texts",
    omit=["file", "context_column", "second_segment_column", "skip_empty", "skip_bad", "begin", "threads", "context",
          "context_special"],
)  # fmt: skip
def corpus(
    *,
    inputs: Annotated[list[str], Argument(metavar="IN", help="Files, folders, or patterns in quotes.")],
    output: Annotated[
        str | None, Option("--output", "-o", metavar="PATH", help="The folder of the results: Parquet files and a manifest.")
    ] = None,
    json: Annotated[bool, Option("--json", help="Write JSON to standard output.")] = False,
    per: Annotated[Per, Option(metavar="ROW", help="What a row has: numbers of the document, lists by token, or both.")] = (
        Per.document
    ),
    columns: DocumentColumns,
    run: RunOptions,
    windows: WindowOptions,
    texts: TextOptions,
    softmax: TemperatureOptions,
    filters: FilterOptions,
    plots: PlotOptions,
    model: ModelOptions,
) -> None:
    """Score all documents of many files. They become a folder of Parquet files, and the same command goes on where a run
    stopped. A document that cannot be scored is a row with the reason; the exit code is 1 then."""
    from chainrule.program.corpus_run import estimated, scored

    if output is None and not run.dry_run:
        raise InputError("give a folder for the results with --output")
    model.check()
    options: dict[str, Any] = {
        "text": columns.text_column,
        "limit": columns.limit,
        "workers": run.number,
        "ray": run.ray,
        "dtype": model.dtype.value,
        "device": model.device,
        "start": int(model.start) if model.start.isdecimal() else model.start,
        "end": texts.end or None,
        "special": texts.special.value if texts.special is not None else "text",
        **windows.arguments(),
        **columns.reading(),
    }
    if run.dry_run:
        estimated(inputs, model.model, options, json)
        return
    options |= {"id": columns.id, "keep": columns.kept, "per": per.value, "part_size": run.part_size, "strict": run.strict}
    options["temperature"] = softmax.temperature
    if scored(inputs, str(output), model.model, options, run.fresh, filters, plots, json):
        raise Exit(1)
