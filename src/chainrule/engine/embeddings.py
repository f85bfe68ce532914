"""Embeddings that were given without their tokens: whose are they?"""

from __future__ import annotations

import torch

from chainrule.errors import InputError
from chainrule.models.base import Model

_BLOCK = 8192  # rows of the model's table looked at a time


@torch.inference_mode()
def tokens_of(model: Model, embeddings_TD: torch.Tensor) -> list[int]:
    """The tokens whose embeddings these are, to the bit; of equal rows the first. Raises InputError where there is none."""
    wanted_TD = embeddings_TD.to(model.device, model.dtype)
    found_T = torch.full((len(wanted_TD),), -1, device=model.device)
    for first in range(0, model.embeddings, _BLOCK):
        ids = torch.arange(first, min(first + _BLOCK, model.embeddings), device=model.device)
        block_ND = model.embed(ids)
        for t in torch.nonzero(found_T < 0).flatten().tolist():
            # One column rules out nearly all rows; only what is left is compared whole.
            likely = torch.nonzero(block_ND[:, 0] == wanted_TD[t, 0]).flatten()
            same = likely[(block_ND[likely] == wanted_TD[t]).all(-1)]
            if len(same):
                found_T[t] = first + same[0]
    missing = torch.nonzero(found_T < 0).flatten().tolist()
    if missing:
        raise InputError(
            f"row {missing[0]} of the embeddings is no row of the model's own table, so it is not known which token it stands "
            "for; give the token ids along with the embeddings: score(ids, embeddings=...)"
        )
    return found_T.tolist()
