"""The readout: from hidden states to factors, with other statistics of each conditional distribution.

Only rows with children are passed in. A row with several children has its log-sum-exp computed once and shared. Rows ×
vocabulary is never allocated: logits exist for one block of rows at a time, filled one tile of the vocabulary after another.

Shapes: M rows of a block, T tiles of the vocabulary, F factors, V vocabulary, k alternatives, H hidden width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from chainrule.engine.head.reductions import Block, Columns, Reduction, divided, factor_reductions, logprob_of, merged
from chainrule.models.base import Head
from chainrule.ops import native
from chainrule.ops.sealed import sealed
from chainrule.ops.transfer import on
from chainrule.text.token_sets import NO_SETS, TokenSets

BLOCK = 20 << 20  # most logits in memory at a time (80 MiB in float32)
ROW_MULTIPLE = 16  # rows are padded to a multiple of this, so that the same code path computes every row


def read(
    head: Head, hidden_RH: Tensor, row_F: Tensor, token_F: Tensor, top: int = 0, workspace_MV: Tensor | None = None,
    temperature: float = 1.0, sets: TokenSets = NO_SETS,
) -> Columns:  # fmt: skip
    """The statistics of the factors Pr(token_F | the context at row_F); see `reduce`."""
    return merged(reduce(head, hidden_RH, row_F, token_F, factor_reductions(top, sets), workspace_MV, temperature))


@sealed
def reduce(
    head: Head,
    hidden_RH: Tensor,
    row_F: Tensor,
    token_F: Tensor,
    reductions: Sequence[Reduction],
    workspace_MV: Tensor | None = None,
    temperature: float = 1.0,
) -> list[Columns]:
    """The columns of each reduction over the factors Pr(token_F | the context at row_F).

    row_F: ascending; best on the CPU, since reading it from a GPU waits for the GPU. workspace_MV: memory for the logits,
    from `workspace`. temperature: of softmax(z / temperature).
    """
    device = hidden_RH.device
    workspace_MV = workspace(head, device) if workspace_MV is None else workspace_MV
    rows, index_F = torch.unique_consecutive(row_F, return_inverse=True)
    count = block_rows(head.size)
    blocks = []
    for first in range(0, len(rows), count):
        bounds = torch.tensor([first, first + count], dtype=torch.int64, device=index_F.device)
        a, b = torch.searchsorted(index_F, bounds).tolist()
        hidden_MH = hidden_RH[on(rows[first : first + count], device)]
        index_N = on(index_F[a:b] - first, device)
        block = Distributions.at(head, hidden_MH, workspace_MV, temperature=temperature).block(index_N, token_F[a:b])
        blocks.append([reduction.columns(block) for reduction in reductions])
    if not blocks:
        return [reduction.columns(Block.empty(head, device)) for reduction in reductions]
    return [{name: torch.cat([part[name] for part in parts]) for name in parts[0]} for parts in zip(*blocks, strict=True)]


def block_rows(size: int) -> int:
    """The number of rows in a block under a vocabulary of `size` tokens."""
    return max(4 * ROW_MULTIPLE, min(512, BLOCK // size // (4 * ROW_MULTIPLE) * (4 * ROW_MULTIPLE)))


def workspace(head: Head, device: torch.device) -> Tensor:
    """Memory for the logits of one block. Reusing it saves the operating system from mapping new pages for every block."""
    return torch.empty(block_rows(head.size), head.size, dtype=head.dtype, device=device)


@dataclass
class Distributions:
    """The conditional distributions at M rows: logits, log-sum-exp and entropy (float64).

    If the temperature is not 1, the log-sum-exp is that of (z − largest) / temperature.
    """

    logits_MV: Tensor
    logsumexp_M: Tensor
    entropy_M: Tensor
    temperature: float = 1.0
    largest_M: Tensor | None = None

    @classmethod
    def at(
        cls, head: Head, hidden_MH: Tensor, workspace_MV: Tensor, *, same_bits: bool = True, temperature: float = 1.0
    ) -> Distributions:
        """The distributions at all rows. The logits are in `workspace_MV`.

        Without `same_bits` rows are not padded, and their bits may depend on the number of rows.
        """
        if same_bits:
            hidden_MH = torch.nn.functional.pad(hidden_MH, (0, 0, 0, -len(hidden_MH) % ROW_MULTIPLE))
        logits_MV = workspace_MV[: len(hidden_MH)]
        rows = block_rows(head.size) if same_bits else len(hidden_MH)
        tiles = []
        for first in range(0, head.size, head.tile):
            tile = logits_MV[:, first : first + head.tile]
            head.write(hidden_MH, first, tile, rows)
            if temperature == 1:
                tiles.append(_moments(tile))
        largest_M = None
        if temperature != 1:
            temperature, largest_M = float(temperature), _largest(logits_MV)
            tiles = [_moments_at(tile, largest_M, temperature) for tile in logits_MV.split(head.tile, -1)]
        top_TM, sum_TM, dot_TM = (torch.stack(t).double() for t in zip(*tiles, strict=True))
        logsumexp_M = torch.logsumexp(top_TM + sum_TM.log(), 0)
        mean_M = (torch.exp(top_TM - logsumexp_M) * dot_TM).sum(0)  # the expected logit
        return cls(logits_MV, logsumexp_M, logsumexp_M - mean_M, temperature, largest_M)

    def logprobs(self, count: int) -> Tensor:
        """log Pr(v | …) for every v of the vocabulary at the first `count` rows (the others are padding), in float64."""
        largest_M = None if self.largest_M is None else self.largest_M[:count]
        return logprob_of(self.logits_MV[:count], self.logsumexp_M[:count], self.temperature, largest_M)

    def block(self, row_F: Tensor, token_F: Tensor) -> Block:
        """These distributions with the factors to be read from them, for reductions. `row_F` ascends."""
        return Block(
            self.logits_MV, self.logsumexp_M, self.entropy_M, row_F, token_F, self.temperature, self.largest_M
        )  # fmt: skip


def _largest(logits_MV: Tensor) -> Tensor:
    """The largest logit of each row, float64; 0 if all tokens are impossible."""
    largest_M = logits_MV.amax(-1).double()
    return largest_M.masked_fill(largest_M == -torch.inf, 0.0)


def _moments_at(logits_MV: Tensor, largest_M: Tensor, temperature: float) -> tuple[Tensor, Tensor, Tensor]:
    """`_moments` of (z − largest) / temperature. The quotients are rounded once, from float64."""
    parts = []
    for few_MV, few_M in zip(logits_MV.split(4 * ROW_MULTIPLE), largest_M.split(4 * ROW_MULTIPLE), strict=True):
        parts.append(_moments(divided(few_MV.double() - few_M[:, None], temperature).to(logits_MV.dtype)))
    top_M, sum_M, dot_M = zip(*parts, strict=True)
    return torch.cat(top_M), torch.cat(sum_M), torch.cat(dot_M)


def _moments(logits_MV: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The maximum m of each row of a tile, Σ exp(z − m) and Σ exp(z − m) · z, with 0 · −inf = 0 (an impossible event)."""
    if native.supports_rows(logits_MV):
        return native.moments(logits_MV)
    few_rows = logits_MV.split(4 * ROW_MULTIPLE)  # these fit in the cache between passes
    top_M, sum_M, dot_M = zip(*map(_moments_in_passes, few_rows), strict=True)
    return torch.cat(top_M), torch.cat(sum_M), torch.cat(dot_M)


def _moments_in_passes(logits_MV: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    top_M = logits_MV.amax(-1)
    weight_MV = logits_MV.sub(top_M.clamp_min(torch.finfo(top_M.dtype).min)[:, None]).exp_()
    dot_M = torch.linalg.vecdot(weight_MV, logits_MV)
    if dot_M.isnan().any():
        dot_M = torch.linalg.vecdot(weight_MV, logits_MV.clamp_min(torch.finfo(top_M.dtype).min))
    return top_M, weight_MV.sum(-1), dot_M
