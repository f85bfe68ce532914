"""Values of a JSON file as cells of Arrow columns: as JSON texts, which lose nothing, or with one type for a column."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from chainrule.files.rows import Number

if TYPE_CHECKING:
    import pyarrow

MARK = {b"chainrule": b"json"}  # metadata of a column of strings, each of which is the JSON text of a value
DEEPEST = 200  # levels of nesting
_ENCODE = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
_EXACT = 2**53  # float64 holds all whole numbers up to this
_LARGEST = 2**63 - 1

# "null", "bool", "int", "wide" (an int beyond _EXACT), "float", "string" or "json" (no common type); a list is ("list", the
# kind of its items), and an object is a dictionary of the kinds of its fields.
Kind: TypeAlias = "str | tuple[str, Kind] | dict[str, Kind]"


def encoded(value: Any) -> str:
    """The JSON text of a value whose numbers are `Number`s, which keep their spelling."""
    if isinstance(value, Number):
        return str.__str__(value)
    if isinstance(value, dict):
        return "{" + ", ".join([f"{_ENCODE(name)}: {encoded(each)}" for name, each in value.items()]) + "}"
    if isinstance(value, list):
        return "[" + ", ".join([encoded(each) for each in value]) + "]"
    return _ENCODE(value)


def is_marked(field: pyarrow.Field) -> bool:
    """Whether a column holds JSON texts of values."""
    return field.metadata is not None and field.metadata.get(b"chainrule") == b"json"


def for_csv(text: str | None) -> str | None:
    """A JSON text as a cell of CSV: texts without quotes, nothing for null."""
    if text is None or text == "null":
        return None
    return json.loads(text) if text.startswith('"') else text


class Kinds:
    """The columns of rows of JSON, and the kind of the values of each."""

    def __init__(self) -> None:
        self.of: dict[str, Kind] = {}

    def add(self, row: dict[str, Any]) -> None:
        """Add a row."""
        for name, value in row.items():
            self.of[name] = _merged(self.of.get(name, "null"), _kind(value))

    def refuse(self, row: dict[str, Any]) -> str | None:
        """The first column of a row that these do not have, or whose value is of another kind; None if the row fits."""
        return next(
            (
                name
                for name, value in row.items()
                if name not in self.of or _merged(self.of[name], _kind(value)) != self.of[name]
            ),
            None,
        )

    def array(self, name: str, rows: Sequence[dict[str, Any]]) -> pyarrow.Array:
        """The values of a column. Rows without it have null."""
        import pyarrow

        kind = self.of[name]
        return pyarrow.array([_converted(row.get(name), kind) for row in rows], _arrow_type(kind))


def _kind(value: Any) -> Kind:
    match value:
        case None:
            return "null"
        case bool():
            return "bool"
        case Number():
            return _kind_of_number(str.__str__(value))
        case str():
            return "string"
        case list():
            item: Kind = "null"
            for each in value:
                item = _merged(item, _kind(each))
            return "json" if item == "json" else ("list", item)
        case _:
            kinds = {name: _kind(each) for name, each in value.items()}
            return "json" if "json" in kinds.values() or not kinds else kinds


def _kind_of_number(text: str) -> Kind:
    if text.lstrip("-").isdigit():
        if len(text) > 20 or abs(int(text)) > _LARGEST:
            return "json"
        return "wide" if abs(int(text)) > _EXACT else "int"
    return "json" if math.isinf(float(text)) and "Infinity" not in text else "float"


def _merged(a: Kind, b: Kind) -> Kind:
    """The kind of values of both kinds."""
    if a == b or b == "null":
        return a
    if a == "null":
        return b
    if isinstance(a, tuple) and isinstance(b, tuple):
        item = _merged(a[1], b[1])
        return "json" if item == "json" else ("list", item)
    if isinstance(a, dict) and isinstance(b, dict):
        kinds = {name: _merged(a.get(name, "null"), b.get(name, "null")) for name in {**a, **b}}
        return "json" if "json" in kinds.values() else kinds
    if isinstance(a, str) and isinstance(b, str) and {a, b} in ({"int", "float"}, {"int", "wide"}):
        return "float" if "float" in (a, b) else "wide"
    return "json"


def _arrow_type(kind: Kind) -> pyarrow.DataType:
    import pyarrow

    if isinstance(kind, tuple):
        return pyarrow.list_(_arrow_type(kind[1]))
    if isinstance(kind, dict):
        return pyarrow.struct([(name, _arrow_type(each)) for name, each in kind.items()])
    names = {"bool": "bool", "int": "int64", "wide": "int64", "float": "double"}
    return pyarrow.type_for_alias(names.get(kind, "string"))


def _converted(value: Any, kind: Kind) -> Any:
    """A value for Arrow. Raises ValueError, TypeError or AttributeError for a value of another kind."""
    if value is None:
        return None
    if isinstance(kind, tuple):
        return [_converted(each, kind[1]) for each in value]
    if isinstance(kind, dict):
        return {name: _converted(value.get(name), each) for name, each in kind.items()}
    if kind == "json":
        return encoded(value)
    return int(value) if kind in ("int", "wide") else float(value) if kind == "float" else value
