"""Parsing of user arguments by type and position: one text, one sequence of ids, a pair, or many of them.

A sequence of items is a list, tuple, generator, NumPy array, pandas or Polars Series, Arrow array or chunked array, or any
other Python sequence. Names, keys and indices of a container are never used as its items.
"""

from __future__ import annotations

from collections.abc import Iterator, KeysView, Mapping, Sequence, Set, ValuesView
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from chainrule._types import Ints
from chainrule.errors import InputError, short

_BYTES = bytes | bytearray | memoryview
# The methods that return the items of a column, by library.
_TO_LIST = {"pandas": "tolist", "polars": "to_list", "pyarrow": "to_pylist"}
_TABLES = ("DataFrame", "LazyFrame", "Table", "RecordBatch")


def as_list(values: Any, what: str = "texts") -> list[Any]:
    """The items of a sequence, by position. Raises InputError if it is not a sequence of items."""
    kind, where = type(values), _library(values)
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
        return _items_of_array(
            np.asarray(values.tolist(), object) if values.is_floating_point() else values.cpu().numpy(), what
        )
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
    if isinstance(item, list | tuple | np.ndarray) or (_library(item) == "torch" and hasattr(item, "detach")):
        return "ids"
    if _library(item) in _TO_LIST and hasattr(item, "__len__"):
        raise InputError(
            f"expected one text, not a {type(item).__name__} of texts: use score_batch; for token ids, pass a list", index
        )
    raise InputError(f"expected a text, token ids (a list, tuple, or array) or a pair of texts, not {describe(item)}", index)


def as_ids(item: Any, index: int | None = None) -> Ints:
    """A list, tuple, NumPy array or tensor of token ids as an array. Raises InputError if it holds anything else."""
    if _library(item) == "torch":
        item = item.detach().cpu()
    if isinstance(item, np.ma.MaskedArray):
        raise InputError("a masked array hides some of its ids: pass the visible ones, item.compressed()", index)
    try:
        array = np.asarray(item)
    except (TypeError, ValueError, RuntimeError):  # rows of different lengths, or a tensor of a type that NumPy lacks
        array = np.array([None])
    if array.shape == (0,):
        return np.zeros(0, np.int64)
    if isinstance(item, list | tuple) and bool in map(type, item):
        array = array.astype(bool)  # NumPy reads [True, 2] as [1, 2]
    if array.ndim != 1 or array.dtype.kind not in "iu":
        texts = array.ndim == 1 and isinstance(array[0], str)
        hint = "expected one text; score_batch takes several" if texts else "pass embeddings as embeddings="
        raise InputError(
            f"token ids must be whole numbers in one dimension, not {array.dtype} of shape {array.shape} ({short(item)}); "
            f"{hint}",
            index,
        )
    if array.dtype.kind == "u":  # ids beyond int64 are clipped, so that they do not become negative
        array = np.minimum(array.astype(np.uint64), np.uint64(2**63 - 1))
    return array.astype(np.int64)


def is_missing(value: Any) -> bool:
    """Whether this is a missing value: None, NaN, pandas' NA or NaT."""
    return value is None or (isinstance(value, float) and value != value) or type(value).__name__ in ("NAType", "NaTType")


def _is_per_item(context: Any) -> bool:
    """Whether this is one context per item, rather than one for all."""
    if isinstance(context, list | tuple):
        return any(is_missing(one) or not isinstance(one, int | np.integer | float) for one in context)
    if isinstance(context, np.ndarray) or (_library(context) == "torch" and hasattr(context, "ndim")):
        return context.ndim > 1 or getattr(context.dtype, "kind", "i") not in "iufb"
    return not (context is None or isinstance(context, str | _BYTES) or is_missing(context))


def _items_of_array(values: NDArray[Any], what: str) -> list[Any]:
    """The items along the first axis: rows of ids, or texts."""
    if isinstance(values, np.ma.MaskedArray):
        raise InputError(f"{what} are in a masked array, which hides some of them: pass the visible ones (.compressed())")
    if values.ndim == 0:
        raise InputError(f"{what} must be a list, not an array of no dimensions, {describe(values.item())}: put it into a list")
    return list(values) if values.ndim > 1 else values.tolist()


def _library(value: Any) -> str:
    return type(value).__module__.partition(".")[0]


def describe(value: Any) -> str:
    """Its type and the beginning of its value, for a message."""
    return f"{type(value).__name__} ({short(value)})"
