"""Parsing of user arguments by type and position: one text, one sequence of ids, a pair, or many of them.

A sequence of items is a list, tuple, generator, NumPy array, pandas or Polars Series, Arrow array or chunked array, or any
other Python sequence. Names, keys and indices of a container are never used as its items.
"""

from __future__ import annotations

from collections.abc import Iterator, KeysView, Mapping, Sequence, Set, ValuesView
from numbers import Number
from os import PathLike
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import InputError, short
from chainrule.text.ids import as_ids, is_encoding, library, rows_of

_BYTES = bytes | bytearray | memoryview
# The methods that return the items of a column, by library.
_TO_LIST = {"pandas": "tolist", "polars": "to_list", "pyarrow": "to_pylist"}
_TABLES = ("DataFrame", "LazyFrame", "Table", "RecordBatch")


def as_list(values: Any, what: str = "texts") -> list[Any]:
    """The items of a sequence, by position. Raises InputError if it is not a sequence of items."""
    kind, where = type(values), library(values)
    if is_encoding(values):
        return rows_of(values)
    if isinstance(values, str | _BYTES):
        raise InputError(f"{what} must be a list, not one {kind.__name__}: {short(values)}; put it into a list")
    if kind.__name__ in _TABLES and where in _TO_LIST:
        raise InputError(
            f"{what} must be one column, but a {kind.__name__} can have several: select one, such as table['text']"
        )
    if isinstance(values, Mapping):
        raise InputError(f"{what} must be a list, but a {kind.__name__} has keys: pass list(….values())")
    if isinstance(values, np.ndarray):
        return _items_of_array(values, what)
    if where == "torch" and hasattr(values, "detach"):
        if values.is_floating_point():
            raise InputError(_no_embeddings(what, values))
        return _items_of_array(values.cpu().numpy(), what)
    if hasattr(values, "read"):
        raise InputError(f"{what} must be a list, not a file, whose lines end in newlines: pass file.read().splitlines()")
    if where in _TO_LIST and hasattr(values, _TO_LIST[where]) and not isinstance(values, Set):
        return getattr(values, _TO_LIST[where])()
    if kind.__module__ != "array" and isinstance(values, Sequence | Iterator | KeysView | ValuesView):
        return list(values)
    raise InputError(f"{what} must be a list, tuple, generator, NumPy array, Series or Arrow array, not {describe(values)}")


def contexts_for(context: Any, count: int) -> list[Any]:
    """A context for each of `count` items: those of a sequence of contexts, or one text or sequence of ids for all."""
    return as_list(context, "contexts") if _is_per_item(context) else [context] * count


def is_empty(context: Any) -> bool:
    """Whether this is no context: None, an empty text, or a sequence without ids."""
    if context is None or isinstance(context, str):
        return not context
    return kind_of(context) == "ids" and not len(as_ids(context))


def kind_of(item: Any, index: int | None = None) -> Literal["text", "pair", "ids"]:
    """The kind of one item. Raises InputError, with its type and a remedy, if it is none of the three."""
    if isinstance(item, str):
        return "text"
    if isinstance(item, tuple) and len(item) == 2 and all(isinstance(part, str) for part in item):
        return "pair"
    if is_missing(item):
        raise InputError(f"the text is missing ({item}): remove the item, or replace it with a text", index)
    if isinstance(item, _BYTES):
        raise InputError(f"{type(item).__name__} is not text; decode it first: bytes(item).decode('utf-8')", index)
    if (
        isinstance(item, list | tuple | np.ndarray)
        or (library(item) == "torch" and hasattr(item, "detach"))
        or is_encoding(item)
    ):
        return "ids"
    if type(item).__name__ in _TABLES and library(item) in _TO_LIST:
        raise InputError(f"expected one text, not a {type(item).__name__}: use score_batch(table['text'])", index)
    if library(item) in _TO_LIST and hasattr(item, "__len__"):
        raise InputError(
            f"expected one text, not a {type(item).__name__} of texts: use score_batch; for token ids, pass a list", index
        )
    raise InputError(f"expected a text, token ids or a pair of texts, not {describe(item)}: {_remedy(item)}", index)


def _remedy(item: Any) -> str:
    """What to pass in place of an item of the wrong type."""
    if isinstance(item, Mapping):
        return f"pass one of its values, such as its {'input_ids' if 'input_ids' in item else 'text'}"
    if isinstance(item, PathLike):
        return "for the text in the file, pass path.read_text()"
    if hasattr(item, "read"):
        return "pass the text in it: file.read()"
    if isinstance(item, Set):
        return "a set has no order; pass a list"
    if isinstance(item, Iterator):
        return "score_batch takes several texts; for token ids, pass list(...)"
    if isinstance(item, Number):
        return "a text is in quotes, and token ids are in a list, such as [5]"
    if hasattr(item, "logprobs"):
        return "pass its text or its ids"
    return "pass a str, a list of token ids, or a tuple of two texts"


def is_missing(value: Any) -> bool:
    """Whether this is a missing value: None, NaN or NaT, also of NumPy, or pandas' NA or NaT."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, float | np.floating | np.datetime64 | np.timedelta64) and bool(value != value)


def _is_per_item(context: Any) -> bool:
    """Whether this is one context per item, rather than one for all."""
    if isinstance(context, list | tuple):
        return any(is_missing(one) or not isinstance(one, int | np.integer | float) for one in context)
    if is_encoding(context):
        return len(rows_of(context)) != 1
    if isinstance(context, np.ndarray) or (library(context) == "torch" and hasattr(context, "ndim")):
        return context.ndim > 1 or getattr(context.dtype, "kind", "i") not in "iufb"
    return not (context is None or isinstance(context, str | _BYTES) or is_missing(context))


def _items_of_array(values: NDArray[Any], what: str) -> list[Any]:
    """The items along the first axis: rows of ids, or texts."""
    if isinstance(values, np.ma.MaskedArray):
        raise InputError(f"{what} are in a masked array, which hides some of them: pass the visible ones (.compressed())")
    if values.ndim == 0:
        raise InputError(f"{what} must be a list, not an array of no dimensions, {describe(values.item())}: put it into a list")
    if values.ndim > 1 and values.dtype.kind == "f":
        raise InputError(_no_embeddings(what, values))
    return list(values) if values.ndim > 1 else values.tolist()


def _no_embeddings(what: str, values: Any) -> str:
    shape = tuple(values.shape)
    return (
        f"{what} must be texts or token ids, not {values.dtype} of shape {shape}; embeddings: score(embeddings=...), one text"
    )


def describe(value: Any) -> str:
    """Its type and the beginning of its value, for a message."""
    return f"{type(value).__name__} ({short(value)})"
