"""Embeddings passed in place of tokens: checks against the model, and a search for their tokens if none were passed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from chainrule.errors import InputError
from chainrule.models.base import Model
from chainrule.ops.sealed import sealed
from chainrule.text.base import TokenizerLike
from chainrule.text.reading import LITERAL, Reading
from chainrule.text.requests import Request, requests

_BLOCK = 8192  # rows of the model's table compared at a time


def embedded(
    model: Model, tokenizer: TokenizerLike | None, text: Any, context: Any, embeddings: Any, reading: Reading = LITERAL
) -> Request:
    """A request with these embeddings. If `text` is None, their tokens are looked up in the model's table.

    Raises InputError if the embeddings do not fit the model or the tokens.
    """
    if context is not None:
        raise InputError("embeddings cannot be combined with context=: put the context's embeddings before them")
    if model.by_ids:
        raise InputError(
            f"{model.name} looks tokens up in more than one table, so embeddings cannot replace them: give token ids"
        )
    try:
        table = embeddings if isinstance(embeddings, torch.Tensor) else torch.from_numpy(np.asarray(embeddings))
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"embeddings must be numbers of shape (T, {model.width}) for this model: {error}") from None
    if isinstance(embeddings, np.ma.MaskedArray):
        raise InputError("a masked array hides some of its numbers, and embeddings are whole rows: give a plain array")
    if table.ndim != 2 or table.shape[1] != model.width or not table.is_floating_point():
        raise InputError(
            f"embeddings must be numbers of shape (T, {model.width}) for this model, not {table.dtype} of shape "
            f"{tuple(table.shape)}"
        )
    ids = tokens_of(model, table) if text is None else text
    request = requests([ids], None, tokenizer, model.head.size, reading)[0]
    if len(request.ids) != len(table):
        raise InputError(f"{len(table)} embeddings were passed with {len(request.ids)} token ids; there must be one for each")
    return replace(request, embeddings=table.to(model.device))


@sealed
def tokens_of(model: Model, embeddings_TD: torch.Tensor) -> list[int]:
    """The tokens with exactly these embeddings. Of equal rows the first is taken. Raises InputError if a row has no token."""
    wanted_TD = embeddings_TD.to(model.device, model.dtype)
    id_T = torch.full((len(wanted_TD),), -1, dtype=torch.int64, device=model.device)
    for first in range(0, model.embeddings, _BLOCK):
        ids = torch.arange(first, min(first + _BLOCK, model.embeddings), dtype=torch.int64, device=model.device)
        block_ND = model.embed(ids)
        for t in torch.nonzero(id_T < 0).flatten().tolist():
            # One column rules out nearly all rows; only the others are compared in full.
            likely = torch.nonzero(block_ND[:, 0] == wanted_TD[t, 0]).flatten()
            same = likely[(block_ND[likely] == wanted_TD[t]).all(-1)]
            if len(same):
                id_T[t] = first + same[0]
    missing = torch.nonzero(id_T < 0).flatten().tolist()
    if missing:
        raise InputError(
            f"row {missing[0]} of the embeddings is not in the model's own table, so its token is unknown; "
            "give the token ids along with the embeddings: score(ids, embeddings=...)"
        )
    return id_T.tolist()
