"""Token ids as users pass them: lists, tuples, arrays, tensors, and the output of transformers' tokenizers."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule._checks import is_whole
from chainrule._types import Ints
from chainrule.errors import InputError, short


def as_ids(item: Any, index: int | None = None) -> Ints:
    """The token ids of one text as an array of one dimension. Raises InputError, which says what was given instead.

    A list, tuple, array or tensor of ids, one of shape (1, T), or the output of a tokenizer for one text.
    """
    if is_encoding(item):
        [item] = _one_row(rows_of(item, index), index)
    if library(item) == "torch":
        item = item.detach().cpu()
    if isinstance(item, np.ma.MaskedArray):
        raise InputError("a masked array hides some of its ids: pass the visible ones, item.compressed()", index)
    if getattr(item, "ndim", 1) and len(item) == 1 and _is_row(item[0]):
        return as_ids(item[0], index)
    try:
        array = np.asarray(item)
    except (TypeError, ValueError, RuntimeError):  # rows of different lengths, or a tensor of a type that NumPy lacks
        array = None
    if array is not None and array.shape == (0,):
        return np.zeros(0, np.int64)
    has_bools = isinstance(item, list | tuple) and bool in map(type, item)  # NumPy reads [True, 2] as [1, 2]
    if array is None or array.ndim != 1 or array.dtype.kind not in "iu" or has_bools:
        raise InputError(_refusal(item, array), index)
    if array.dtype.kind == "u":  # ids beyond int64 are clipped, so that they do not become negative
        array = np.minimum(array.astype(np.uint64), np.uint64(2**63 - 1))
    return array.astype(np.int64)


def is_encoding(value: Any) -> bool:
    """Whether this is a `BatchEncoding`, the output of a tokenizer of transformers."""
    return library(value) == "transformers" and type(value).__name__ == "BatchEncoding"


def rows_of(encoding: Any, index: int | None = None) -> list[Any]:
    """The token ids of each text of a `BatchEncoding`. Padding, which its attention mask hides, is left out.

    Raises InputError if there are no ids, or if the mask hides tokens within a text.
    """
    if "input_ids" not in encoding:
        raise InputError(f"the output of the tokenizer has no input_ids; it has {short(list(encoding))}", index)
    rows = _rows(encoding["input_ids"])
    if "attention_mask" not in encoding:
        return rows
    masks = [np.asarray(mask.cpu() if library(mask) == "torch" else mask) != 0 for mask in _rows(encoding["attention_mask"])]
    if list(map(len, masks)) != list(map(len, rows)):
        raise InputError("input_ids and attention_mask have different shapes in the output of the tokenizer", index)
    return [_visible(row, mask, index) for row, mask in zip(rows, masks, strict=True)]


def library(value: Any) -> str:
    """The name of the package that defines its type."""
    return type(value).__module__.partition(".")[0]


def _rows(values: Any) -> list[Any]:
    """The rows of ids; ids in one dimension are one row."""
    several = _is_row(values[0]) if len(values) else getattr(values, "ndim", 1) > 1
    return list(values) if several else [values]


def _is_row(value: Any) -> bool:
    return isinstance(value, list | tuple) or getattr(value, "ndim", 0) > 0


def _visible(row: Any, mask_T: np.ndarray, index: int | None) -> Any:
    if mask_T.all():
        return row
    shown = np.flatnonzero(mask_T)
    if len(shown) and shown[-1] - shown[0] + 1 != len(shown):
        hidden = int(np.flatnonzero(~mask_T[shown[0] :])[0] + shown[0])
        raise InputError(
            f"the attention mask hides the token at position {hidden}, between tokens that it shows; it may hide padding "
            "before or after a text only",
            index,
        )
    return row[shown[0] : shown[-1] + 1] if len(shown) else row[:0]


def _one_row(rows: list[Any], index: int | None) -> list[Any]:
    if len(rows) != 1:
        raise InputError(
            f"expected one text, not the output of a tokenizer for {len(rows)} texts; score_batch takes several", index
        )
    return rows


def _refusal(item: Any, array: np.ndarray | None) -> str:
    """What was given in place of the token ids of one text, and what to do."""
    given = item if hasattr(item, "dtype") else array
    dtype, shape = str(getattr(given, "dtype", "")), tuple(getattr(given, "shape", ()))
    if len(shape) > 1 and "float" in dtype:
        return (
            f"expected a text or token ids, not {dtype} of shape {shape}; embeddings are passed by name: score(embeddings=...)"
        )
    if len(shape) > 1 and "int" in dtype:
        return f"expected the token ids of one text, not {shape[0]} rows of shape {shape[1:]}; score_batch takes several texts"
    if len(shape) > 1:
        return f"expected a text or token ids, not {dtype} of shape {shape} ({short(item)})"
    if array is not None and not shape:
        return f"expected token ids in a list, not a single one ({short(item)}): put it into a list"
    if isinstance(item, list | tuple) and all(map(_is_row, item)):
        return f"expected the token ids of one text, not {len(item)} sequences ({short(item)}); score_batch takes several texts"
    values = item if isinstance(item, list | tuple) or array is None else array.tolist()
    if all(isinstance(value, str) for value in values):
        return f"expected one text, not a list of texts ({short(item)}); score_batch takes a list"
    wrong = [(i, value) for i, value in enumerate(values) if not is_whole(value)]
    if not wrong:
        return f"token ids are out of range ({short(item)})"
    position, value = wrong[0]
    own = isinstance(item, list | tuple) or dtype == "object"
    kind = type(value).__name__ if own else dtype.removeprefix("torch.")
    return f"token ids are whole numbers, not {kind} ({short(value)} at position {position} of {short(item)}); {_remedy(value)}"


def _remedy(value: Any) -> str:
    if isinstance(value, bool):
        return "a mask selects ids: pass those"
    if (isinstance(value, float) and value.is_integer()) or getattr(value, "ndim", None) == 0:
        return "convert them: [int(id) for id in ids]"
    if isinstance(value, str):
        return "a text and token ids cannot be mixed"
    return (
        "embeddings are passed by name: score(embeddings=...)" if isinstance(value, float) else "pass token ids, such as [5, 7]"
    )
