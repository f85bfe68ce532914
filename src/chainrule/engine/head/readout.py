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

from chainrule.engine.head.asked import NONE, AskedTokens
from chainrule.engine.head.moments import combined, largest, moments, moments_at
from chainrule.engine.head.reductions import Block, Columns, Reduction, factor_reductions, logprob_of, merged
from chainrule.models.base import Head
from chainrule.ops.sealed import sealed
from chainrule.ops.transfer import together
from chainrule.text.token_sets import NO_SETS, TokenSets

BLOCK = 20 << 20  # most logits in memory at a time (80 MiB in float32)
ROW_MULTIPLE = 16  # rows are padded to a multiple of this, so that the same code path computes every row


def read(
    head: Head, hidden_RH: Tensor, row_F: Tensor, token_F: Tensor, top: int = 0, workspace_MV: Tensor | None = None,
    temperature: float = 1.0, sets: TokenSets = NO_SETS, asked: AskedTokens = NONE,
) -> Columns:  # fmt: skip
    """The statistics of the factors Pr(token_F | the context at row_F); see `reduce`."""
    return merged(reduce(head, hidden_RH, row_F, token_F, factor_reductions(top, sets, asked), workspace_MV, temperature))


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

    row_F: ascending. Best on the CPU, as is token_F, since reading it from a GPU waits for the GPU. workspace_MV: memory for
    the logits, from `workspace`. temperature: of softmax(z / temperature).
    """
    device = hidden_RH.device
    workspace_MV = workspace(head, device) if workspace_MV is None else workspace_MV
    row_M, index_F = torch.unique_consecutive(row_F, return_inverse=True)
    row_M, row_F, token_F = together([row_M, index_F, token_F], device)
    count = block_rows(head.size)
    blocks = []
    for first in range(0, len(row_M), count):
        bounds = torch.tensor([first, first + count], dtype=torch.int64, device=index_F.device)
        a, b = torch.searchsorted(index_F, bounds).tolist()
        at = Distributions.at(head, hidden_RH[row_M[first : first + count]], workspace_MV, temperature=temperature)
        block = at.block(row_F[a:b] - first, token_F[a:b], a, index_F[a:b] - first)
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
    """The conditional distributions at M rows: logits, log-sum-exp, entropy, and the variance of log Pr (float64).

    If the temperature is not 1, the log-sum-exp is that of (z − largest) / temperature.
    """

    logits_MV: Tensor
    logsumexp_M: Tensor
    entropy_M: Tensor
    variance_M: Tensor
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
                tiles.append(moments(tile))
        largest_M = None
        if temperature != 1:
            temperature, largest_M = float(temperature), largest(logits_MV)
            tiles = [moments_at(tile, largest_M, temperature) for tile in logits_MV.split(head.tile, -1)]
        return cls(logits_MV, *combined(tiles), temperature, largest_M)

    def logprobs(self, count: int) -> Tensor:
        """log Pr(v | …) for every v of the vocabulary at the first `count` rows (the others are padding), in float64."""
        largest_M = None if self.largest_M is None else self.largest_M[:count]
        return logprob_of(self.logits_MV[:count], self.logsumexp_M[:count], self.temperature, largest_M)

    def block(self, row_F: Tensor, token_F: Tensor, first: int = 0, host_row_F: Tensor | None = None) -> Block:
        """These distributions with the factors to be read from them, for reductions. The other arguments: see `Block`."""
        return Block(
            self.logits_MV, self.logsumexp_M, self.entropy_M, self.variance_M, row_F, token_F, self.temperature,
            self.largest_M, first, host_row_F,
        )  # fmt: skip
