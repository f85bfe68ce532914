"""chainrule suite: sentences with regions and predictions, in SyntaxGym's JSON."""

# Heavy imports are inside functions, after the arguments have been parsed.

from __future__ import annotations

from enum import StrEnum
from functools import partial
from typing import Annotated, Any

from typer import Argument, Option

from chainrule.cli.app import command
from chainrule.cli.options import ModelOptions, OutputOptions, TemperatureOptions, TextOptions, WindowOptions


class SuiteRow(StrEnum):
    """The kind of row in the output."""

    prediction = "prediction"
    item = "item"
    region = "region"


@command("Score texts", omit=["context", "context_special", "end"])
def suite(
    *,
    file: Annotated[
        str, Argument(metavar="SUITE", help="A JSON file with meta, region_meta, predictions and items. - is standard input.")
    ],
    per: Annotated[
        SuiteRow,
        Option(
            metavar="ROW", help="Rows of tables: one for each prediction, for each prediction and item, or for each region."
        ),
    ] = SuiteRow.prediction,
    no_space_before: Annotated[
        str,
        Option(
            metavar="CHARS",
            help="Regions are joined by spaces, but not before a region that begins with one of these characters; "
            '"" gives the sentences of SyntaxGym. Default: ",.;:!?".',
        ),
    ] = ",.;:!?",
    windows: WindowOptions,
    texts: TextOptions,
    softmax: TemperatureOptions,
    outputs: OutputOptions,
    model: ModelOptions,
) -> None:
    """Score a suite of sentences in SyntaxGym's JSON. For each prediction, the share of items for which it holds."""
    outputs.check()
    special: Any = texts.special
    options: dict[str, Any] = windows.arguments() | {"temperature": softmax.temperature, "special": special}
    from chainrule.cli.output import note, print_json
    from chainrule.cli.progress import progress
    from chainrule.display.suites import rows_view, suite_remarks
    from chainrule.scoring.suite_file import load_suite, read_suite

    content = load_suite(file)
    read_suite(content, no_space_before)  # errors before the model is loaded
    with outputs.sink([file]) as sink:
        lm = model.load()
        with progress("contexts") as bar:
            update = None if bar is None else partial(bar, "scoring")
            result = lm.suite(content, no_space_before=no_space_before, progress=update, **options)
        if sink.json:
            print_json(result.to_dict())
        else:
            sink.write(lambda: result.to_arrow(per), lambda: [rows_view(result, per)])
            if not sink.terminal:
                for remark in suite_remarks(result):
                    note(f"chainrule: note: {remark}")
