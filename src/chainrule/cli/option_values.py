"""Values of options: numbers, orders of prediction and separators. Raises InputError for others."""

from __future__ import annotations

import re
from typing import Any

from chainrule.cli.parameters import did_you_mean, shortened
from chainrule.errors import InputError

_NAMED_ORDERS = ("left-to-right", "right-to-left", "random")
_NAMED_SEPARATORS = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";"}


def parse_numbers(value: str, option: str) -> list[int]:
    """Whole numbers separated by commas. option: the name of the option, for the error. Raises InputError."""
    try:
        return [int(number) for number in value.split(",")]
    except ValueError:
        raise InputError(f"{option} takes whole numbers separated by commas, such as 1,2, not {value[:60]!r}") from None


def parse_orders(values: list[str] | None) -> Any:
    """The values of --order as the library takes them: "0,4,2,1,3" as a tuple, several values as a list. Raises InputError."""
    orders = [_parse_order(value) for value in values or []]
    return orders[0] if len(orders) == 1 else orders or None


def _parse_order(value: str) -> str | tuple[int, ...]:
    if value in _NAMED_ORDERS or re.fullmatch("random:0*[1-9][0-9]{0,17}", value):
        return value
    if re.fullmatch(r"\s*\d{1,18}(\s*,\s*\d{1,18})*\s*", value):
        positions = tuple(map(int, value.split(",")))
        if sorted(positions) == list(range(len(positions))):
            return positions
        raise InputError(
            f"--order {value[:60]} is no order of {len(positions)} tokens: it must have each position from 0 to "
            f"{len(positions) - 1} once"
        )
    near = did_you_mean(value, _NAMED_ORDERS)
    raise InputError(f"--order takes {', '.join(_NAMED_ORDERS)}, or positions such as 0,4,2,1,3, not {shortened(value)}{near}")


def parse_separator(value: str | None) -> str | None:
    """A separator of cells: one character, or "tab". Raises InputError."""
    if value is None:
        return None
    separator = _NAMED_SEPARATORS.get(value.lower(), value)
    if len(separator) != 1 or separator in '\r\n"\0':
        raise InputError(f"--separator takes one character, such as ; or tab, not {shortened(value)}")
    return separator
