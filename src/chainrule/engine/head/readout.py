"""Reading factors off hidden states: logits of a block of rows, their log-sum-exp, and everything asked of them, at once.

Rows that nothing follows are never given; a branching row's log-sum-exp is computed once for all that follows it. Rows ×
vocabulary is never allocated: logits exist for one block of rows, filled a tile of the vocabulary at a time.

Shapes: M rows of a block, F factors, V vocabulary, k alternatives.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from chainrule.models.base import Head
from chainrule.models.head import TILE
from chainrule.ops import native
from chainrule.ops.sealed import sealed
from chainrule.ops.transfer import on

BLOCK = 20 << 20  # logits alive at a time (80 MiB in float32)
SORT = 64  # factors of a row: for more, sorting it is cheaper than counting for each
STEP = 16  # rows are padded to a multiple of this, so that no row is read in another way than its neighbours


@dataclass
class Factors:
    """What is known of each of F factors: natural logs, float64."""

    logprob_F: Tensor
    rank_F: Tensor  # 1 for the most probable token: one more than the tokens that are more probable
    entropy_F: Tensor  # of the whole conditional distribution, in nats
    top_id_Fk: Tensor  # the k most probable tokens in the factor's place, most probable first
    top_logprob_Fk: Tensor


@sealed
def read(head: Head, hidden_RH: Tensor, row_F: Tensor, token_F: Tensor, top: int = 0, room_MV: Tensor | None = None) -> Factors:
    """The factors Pr(token_F | the context at row_F). `row_F` ascends; `room_MV`: where the logits may lie (`room`).

    `row_F` is best on the CPU: a GPU would have to be waited for.
    """
    device = hidden_RH.device
    room_MV = room(head, device) if room_MV is None else room_MV
    rows, index_F = torch.unique_consecutive(row_F, return_inverse=True)
    count = block_rows(head.size)
    parts = []
    for first in range(0, len(rows), count):
        bounds = torch.tensor([first, first + count], dtype=torch.int64, device=index_F.device)
        a, b = torch.searchsorted(index_F, bounds).tolist()
        hidden_MH = hidden_RH[on(rows[first : first + count], device)]
        index_N = on(index_F[a:b] - first, device)
        parts.append(Distributions.at(head, hidden_MH, room_MV).factors(index_N, token_F[a:b], top))
    fields = zip(*(vars(p).values() for p in parts), strict=True)
    return Factors(*(torch.cat(list(f)) for f in fields)) if parts else _no_factors(top)


def block_rows(size: int) -> int:
    """How many rows are read at a time under a vocabulary of `size`."""
    return max(4 * STEP, min(512, BLOCK // size // (4 * STEP) * (4 * STEP)))


def room(head: Head, device: torch.device) -> Tensor:
    """Memory for the logits of one block; to use it again saves the system from handing out fresh pages."""
    return torch.empty(block_rows(head.size), head.size, dtype=head.dtype, device=device)


@dataclass
class Distributions:
    """The conditional distributions at M rows: their logits, normaliser and entropy (float64)."""

    logits_MV: Tensor
    logsumexp_M: Tensor
    entropy_M: Tensor

    @classmethod
    def at(cls, head: Head, hidden_MH: Tensor, room_MV: Tensor, *, same_bits: bool = True) -> Distributions:
        """At every row, in `room_MV`. Without `same_bits` rows are not padded, and their bits may depend on their number."""
        if same_bits:
            hidden_MH = torch.nn.functional.pad(hidden_MH, (0, 0, 0, -len(hidden_MH) % STEP))
        logits_MV = room_MV[: len(hidden_MH)]
        rows = block_rows(head.size) if same_bits else len(hidden_MH)
        tiles = []
        for first in range(0, head.size, head.tile):
            tile = logits_MV[:, first : first + head.tile]
            head.write(hidden_MH, first, tile, rows)
            tiles.append(_moments(tile))
        top_TM, sum_TM, dot_TM = (torch.stack(t).double() for t in zip(*tiles, strict=True))
        logsumexp_M = torch.logsumexp(top_TM + sum_TM.log(), 0)
        mean_M = (torch.exp(top_TM - logsumexp_M) * dot_TM).sum(0)  # the expected logit
        return cls(logits_MV, logsumexp_M, logsumexp_M - mean_M)

    def logprobs(self, count: int) -> Tensor:
        """log Pr(v | …) for every v of the vocabulary at the first `count` rows (the others are padding), in float64."""
        return self.logits_MV[:count].double() - self.logsumexp_M[:count, None]

    def factors(self, row_F: Tensor, token_F: Tensor, top: int) -> Factors:
        logit_F = self.logits_MV[row_F, token_F]
        logprob_F = logit_F.double() - self.logsumexp_M[row_F]
        rank_F = self._ranks(row_F, logit_F)
        best = self.logits_MV.topk(top, -1) if top else None
        ids = best.indices[row_F] if best else row_F.new_empty(len(row_F), 0)
        logprobs = (best.values.double() - self.logsumexp_M[:, None])[row_F] if best else logprob_F.new_empty(len(row_F), 0)
        return Factors(logprob_F, rank_F, self.entropy_M[row_F], ids, logprobs)

    def _ranks(self, row_F: Tensor, logit_F: Tensor) -> Tensor:
        """One more than the number of greater logits in the row; a row with very many factors is sorted once."""
        row_M = torch.arange(len(self.logits_MV), dtype=torch.int64, device=row_F.device)
        first_M = torch.searchsorted(row_F, row_M).clamp_max(len(row_F) - 1)
        rank_F = _count_greater(self.logits_MV, logit_F[first_M])[row_F] + 1
        count_M = torch.bincount(row_F, minlength=len(self.logits_MV))
        for row in torch.nonzero(count_M > 1).flatten().tolist():
            here = slice(int(first_M[row]), int(first_M[row] + count_M[row]))
            logits_V, logit_N = self.logits_MV[row], logit_F[here]
            if len(logit_N) <= SORT:
                rank_F[here] = _count_greater(logits_V.expand(len(logit_N), -1), logit_N) + 1
            else:
                rank_F[here] = len(logits_V) - torch.searchsorted(logits_V.sort().values, logit_N, right=True) + 1
        return rank_F


def _count_greater(logits_MV: Tensor, logit_M: Tensor) -> Tensor:
    """How many logits of each row exceed the one given. Counted in floats, tile by tile: 17 times as fast as in ints."""
    if native.supports_rows(logits_MV):
        return native.count_greater(logits_MV, logit_M)
    count_M = torch.zeros_like(logit_M, dtype=torch.long)
    for tile_MV in logits_MV.split(TILE, -1):
        greater_MV = torch.empty_like(tile_MV, memory_format=torch.contiguous_format)
        count_M += torch.gt(tile_MV, logit_M[:, None], out=greater_MV).sum(-1).long()
    return count_M


def _moments(logits_MV: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of one tile: the maximum m, Σ exp(z − m) and Σ exp(z − m) · z, with 0 · −inf = 0 (an impossible event)."""
    if native.supports_rows(logits_MV):
        return native.moments(logits_MV)
    top_M, sum_M, dot_M = zip(*map(_moments_in_passes, logits_MV.split(4 * STEP)), strict=True)  # few rows stay in cache
    return torch.cat(top_M), torch.cat(sum_M), torch.cat(dot_M)


def _moments_in_passes(logits_MV: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    top_M = logits_MV.amax(-1)
    weight_MV = logits_MV.sub(top_M.clamp_min(torch.finfo(top_M.dtype).min)[:, None]).exp_()
    dot_M = torch.linalg.vecdot(weight_MV, logits_MV)
    if dot_M.isnan().any():
        dot_M = torch.linalg.vecdot(weight_MV, logits_MV.clamp_min(torch.finfo(top_M.dtype).min))
    return top_M, weight_MV.sum(-1), dot_M


def _no_factors(top: int) -> Factors:
    none, table = (torch.empty(shape, dtype=torch.float64, device="cpu") for shape in ((0,), (0, top)))
    return Factors(none, none.long(), none, table.long(), table)
