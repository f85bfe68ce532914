"""The most probable tokens in one order: by logit, and tokens with equal logits by id.

PyTorch's `topk` chooses any of several equal logits, and which ones depends on k and on the device. With this order the first
k tokens are the same for every k.

Shapes: M rows, V vocabulary, k alternatives, C candidates, T rows of which some have equal logits.
"""

from __future__ import annotations

import torch
from torch import Tensor

_SIGN = 31  # the bit of a float32's sign


def most_probable(logits_MV: Tensor, count: int) -> Tensor:
    """The ids of the `count` most probable tokens of each row, M × k: by logit, then by id. All V if `count` is larger.

    On the CPU, one logit more than is asked for shows whether any are equal, which is rare. Only those rows are then sorted.
    On a GPU, looking would wait for it, so float32 is ordered by keys that are never equal.
    """
    count = min(count, logits_MV.shape[-1])
    if logits_MV.device.type != "cpu":
        return _of_any(logits_MV, count)
    best = logits_MV.topk(min(count + 1, logits_MV.shape[-1]), -1)
    tied_M = (best.values[:, 1:] == best.values[:, :-1]).any(-1)
    ids_Mk = best.indices[:, :count]
    if tied_M.any():
        tied_T = tied_M.nonzero().flatten()
        ids_Mk = ids_Mk.index_copy(0, tied_T, _of_tied(logits_MV[tied_T], best.values[tied_T, count - 1], count))
    return ids_Mk


def _of_tied(logits_TV: Tensor, least_T: Tensor, count: int) -> Tensor:
    """`most_probable` of rows in which logits may be equal. least_T: the least of the `count` largest logits of each row."""
    row_C, id_C = (logits_TV >= least_T[:, None]).nonzero(as_tuple=True)  # ascending
    by_logit_C = torch.sort(logits_TV[row_C, id_C], descending=True, stable=True).indices
    by_row_C = by_logit_C[torch.sort(row_C[by_logit_C], stable=True).indices]
    first_T = torch.searchsorted(row_C, torch.arange(len(logits_TV), dtype=torch.int64, device=row_C.device))
    at_Tk = first_T[:, None] + torch.arange(count, dtype=torch.int64, device=row_C.device)
    return id_C[by_row_C[at_Tk.clamp_max(len(id_C) - 1)]]  # a row with NaN, which is refused later, has fewer candidates


def _of_any(logits_MV: Tensor, count: int) -> Tensor:
    """`most_probable` without waiting for the device."""
    if logits_MV.dtype != torch.float32:
        return torch.sort(logits_MV, dim=-1, descending=True, stable=True).indices[:, :count]
    id_V = torch.arange(logits_MV.shape[-1], dtype=torch.int64, device=logits_MV.device)
    return keys(logits_MV, id_V).topk(count, -1).indices


def keys(logits_MC: Tensor, id_MC: Tensor) -> Tensor:
    """Integers in the order of float32 logits; of equal logits, the smaller id has the larger integer. M × C in int64.

    The bits of floats are in the order of the numbers, in reverse below 0. Adding 0 makes −0 equal to 0.
    """
    bits_MC = (logits_MC + 0.0).view(torch.int32)
    ordered_MC = bits_MC ^ ((bits_MC >> _SIGN) & 0x7FFFFFFF)
    return (ordered_MC.long() << 32) - id_MC
