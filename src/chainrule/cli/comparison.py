"""chainrule compare: a user's log probabilities beside ours."""

# Heavy imports are inside functions, after the arguments have been parsed.

from __future__ import annotations

import json
import math
import os
from typing import Annotated, Any

from typer import Argument, Option

from chainrule.cli.app import command
from chainrule.cli.options import ModelOptions, OutputOptions, TextOptions
from chainrule.errors import InputError, short


@command("Models and checks", omit=["output"])
def compare(
    *,
    text: Annotated[str, Argument(metavar="TEXT", help="The text.")],
    numbers: Annotated[
        str,
        Option(
            "--numbers",
            metavar="NUMBERS",
            help="Your numbers, one for each token or one total: a file (a JSON list, or numbers separated by white space or "
            "commas), - for standard input, or the numbers themselves: -3.2,-0.1,-7.4.",
        ),
    ],
    texts: TextOptions,
    outputs: OutputOptions,
    model: ModelOptions,
) -> None:
    """Compare your own log probabilities of a text with ours. If they differ, the likely cause is named."""
    from chainrule.cli.output import print_result

    given = read_numbers(numbers)
    options: dict[str, Any] = texts.arguments()
    print_result(model.load().compare_with(given, text, context=texts.context, **options), outputs.json)


def read_numbers(source: str) -> Any:
    """The numbers of a file, of standard input (-), or of the argument itself: a number or a list. Raises InputError."""
    numbers = _parsed(source)
    if numbers is not None:
        return numbers
    if source != "-" and not os.path.exists(source):
        raise InputError(f"--numbers {short(source)} is neither a file nor a list of numbers, such as -3.2,-0.1,-7.4")
    from chainrule.files.opened import name_of, read_all

    try:
        numbers = _parsed(read_all(source).decode("utf-8"))
    except UnicodeDecodeError:
        numbers = None
    if numbers is None:
        raise InputError(
            f"{name_of(source)} must hold numbers: a JSON list, or numbers separated by white space or commas (none, null or "
            "nan for a token without a number)"
        )
    return numbers


def _parsed(text: str) -> float | list[float] | None:
    """The numbers in a text: one alone is a total. None if it holds anything else."""
    try:
        value = json.loads(text)
    except ValueError:
        value = text.replace(",", " ").replace(";", " ").split()
    items = value if isinstance(value, list) else [value]
    try:
        numbers = [_number(item) for item in items]
    except (TypeError, ValueError):
        return None
    if not numbers:
        return None
    return numbers[0] if len(numbers) == 1 else numbers


def _number(item: Any) -> float:
    """Raises ValueError or TypeError for anything but a number or a missing value."""
    if item is None or (isinstance(item, str) and item.lower() in ("none", "null", "na")):
        return math.nan
    if isinstance(item, bool):
        raise TypeError("a truth value is no number")
    return float(item)
