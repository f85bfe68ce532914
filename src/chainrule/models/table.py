"""A table of explicit conditionals: the exact oracle in tests, and the model of the tutorial.

    TableModel(["A", "B", "C"], {"": [10, 9, 0], "A": [0, 0, 0], "B": [8, 7, 0]})      # rows of logits
    TableModel(["A", "B"], {"": [.5, .5], "A": [1, 0], "B": [0, 1]}, probabilities=True)

An embedding is one-hot over the vocabulary and one start symbol, which is never predicted. The table thus has the same steps
x → e → h → z as any network, and every identity of the chain rule can be tested on it by equality.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from chainrule.errors import InputError, ModelError
from chainrule.models.base import Head
from chainrule.models.head import IdentityHead
from chainrule.models.identity import Identity
from chainrule.verdict import Verdict

Context = str | tuple[str, ...]


class TableModel:
    """Pr(token | context), read from a table in float64.

    `conditionals` maps a context to V numbers. A context is a tuple of tokens, or a string if all tokens are single
    characters. With `back_off`, a context that is not in the table takes the row of its longest suffix that is, down to the
    empty context, so that a bigram table is a model of sequences of any length. Without it, contexts must match exactly.
    `probabilities`: whether the numbers are probabilities or logits. None means logits, and raises ModelError if a row sums
    to 1 like probabilities.
    """

    dtype_reason = "tables are float64"
    by_ids = False
    unfit: tuple[int, ...] = ()
    invariance = Verdict(True, "each row of a table is looked up by itself")

    def __init__(
        self,
        vocabulary: Sequence[str],
        conditionals: Mapping[Context, Sequence[float]],
        *,
        probabilities: bool | None = None,
        back_off: bool = False,
        end: str | None = None,
        name: str = "table",
    ) -> None:
        self.name, self.vocabulary, self.back_off = name, list(vocabulary), back_off
        size = len(self.vocabulary)
        if len(set(self.vocabulary)) < size or not size:
            raise ModelError(f"a vocabulary must be a non-empty list of different tokens, not {self.vocabulary!r}")
        self._ids = {token: i for i, token in enumerate(self.vocabulary)}
        self.rows = {self._key(c): _row(c, numbers, size, probabilities) for c, numbers in conditionals.items()}
        self.longest = max(map(len, self.rows), default=0)  # tokens of the longest context with a row
        self.head: Head = IdentityHead(size, torch.float64)
        self.width = self.embeddings = size + 1
        self.max_rows: int | None = None
        self.bos_id: int | None = size
        self.eos_id: int | list[int] | None = self._ids[end] if end is not None else None
        self.device, self.dtype = torch.device("cpu"), torch.float64
        self.identity = Identity(name, "float64", name, known_revision=f"sha256:{self._digest()}")

    def _digest(self) -> str:
        """The SHA-256 of the tokens and of the rows in log probabilities or logits."""
        digest = hashlib.sha256(json.dumps([self.vocabulary, self.back_off]).encode())
        for context, row_V in sorted(self.rows.items()):
            digest.update(json.dumps(context).encode() + row_V.astype("<f8").tobytes())
        return digest.hexdigest()

    def embed(self, ids_N: Tensor) -> Tensor:
        return torch.nn.functional.one_hot(ids_N.long(), self.width).to(self.dtype)

    def inputs(self, ids_N: Tensor) -> Tensor:
        return self.embed(ids_N)

    def hidden(
        self, inputs_BTD: Tensor, *, same_bits: bool = True, attention_mask: Tensor | None = None, **layout: Any
    ) -> Tensor:
        rows_BTV = np.zeros((*inputs_BTD.shape[:2], self.head.size))
        length_B = [inputs_BTD.shape[1]] * len(inputs_BTD) if attention_mask is None else attention_mask.sum(-1).tolist()
        for rows_TV, ids_T, length in zip(rows_BTV, inputs_BTD.argmax(-1).tolist(), length_B, strict=True):
            context: list[int] = []
            for t, id in enumerate(ids_T[:length]):  # padding has no row and needs none
                context += [id] * (id != self.bos_id)  # the start symbol is not part of the context
                rows_TV[t] = self._lookup(context)
        return torch.from_numpy(rows_BTV)

    def _key(self, context: Context) -> tuple[int, ...]:
        unknown = [token for token in context if token not in self._ids]
        if unknown:
            raise ModelError(f"context {context!r} contains {unknown[0]!r}, which is not in the vocabulary {self.vocabulary}")
        return tuple(self._ids[token] for token in context)

    def _lookup(self, context: list[int]) -> np.ndarray:
        """The row for a context of ids. Raises InputError if there is none."""
        suffixes = range(max(0, len(context) - self.longest), len(context) + 1) if self.back_off else range(1)
        for cut in suffixes:
            if (row := self.rows.get(tuple(context[cut:]))) is not None:
                return row
        tokens = " ".join(self.vocabulary[i] for i in context)
        raise InputError(f"the table has no row for the context ({tokens}): add it, or set back_off=True")


def _row(context: Context, numbers: Sequence[float], size: int, probabilities: bool | None) -> np.ndarray:
    row = np.asarray(numbers, np.float64)
    if row.shape != (size,) or np.isnan(row).any():
        raise ModelError(f"the row for context {context!r} must have {size} numbers, not {list(numbers)}")
    sums_to_1 = bool((row >= 0).all()) and abs(row.sum() - 1) <= 1e-9
    if probabilities is None and sums_to_1:
        raise ModelError(
            f"the row for context {context!r}, {list(numbers)}, sums to 1: state whether these are probabilities "
            "(probabilities=True) or logits (probabilities=False)"
        )
    if not probabilities:
        return row
    if not sums_to_1:
        raise ModelError(f"the row for context {context!r} must be probabilities that sum to 1, not to {float(row.sum())!r}")
    with np.errstate(divide="ignore"):
        return np.log(row)
