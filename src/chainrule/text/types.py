"""Types of the arguments that users pass: texts, token ids, contexts and orders.

`Column` matches lists, tuples, arrays and Series, but no `str`: a `str` says only of a `str` whether it contains it.
"""

from __future__ import annotations

from collections.abc import Iterator, KeysView, Sequence, ValuesView
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import BatchEncoding

T_co = TypeVar("T_co", covariant=True)


class Column(Protocol[T_co]):
    """A sequence of items that is no `str` and has no keys: a list, tuple, NumPy array, Series or Arrow array."""

    def __contains__(self, value: object, /) -> bool: ...
    def __iter__(self) -> Iterator[T_co]: ...
    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Any: ...


Ids: TypeAlias = Sequence[int] | Sequence[Sequence[int]] | NDArray[np.integer[Any]] | torch.Tensor | BatchEncoding
Text: TypeAlias = str | tuple[str, str] | Ids  # a pair of texts is (a, b)
Texts: TypeAlias = Column[Text] | Iterator[Text] | KeysView[Text] | ValuesView[Text] | BatchEncoding
Context: TypeAlias = str | Ids
Contexts: TypeAlias = Context | Column[Context | None] | Iterator[Context | None]
Values: TypeAlias = float | Column[float | None] | NDArray[np.floating[Any]] | torch.Tensor
Targets: TypeAlias = Column[Ids | Sequence[int] | None] | NDArray[np.integer[Any]] | torch.Tensor  # a list for each factor
TargetsOfTexts: TypeAlias = Column[Targets | None] | Iterator[Targets | None]
Embeddings: TypeAlias = NDArray[np.floating[Any]] | torch.Tensor | Sequence[Sequence[float]]

StartPolicy: TypeAlias = Literal["auto", "bos", "eos", "given"]
Permutation: TypeAlias = Sequence[int] | NDArray[np.integer[Any]]
OneOrder: TypeAlias = Literal["left-to-right", "right-to-left", "random"] | Permutation
Orders: TypeAlias = Sequence[Permutation] | list[str] | tuple[str, ...] | list[str | Permutation]
Order: TypeAlias = str | Permutation | Orders
