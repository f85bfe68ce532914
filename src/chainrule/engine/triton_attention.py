"""Attention over a chunk of a forest by FlexAttention: one kernel for any shape of forest, and no mask in memory.

    key k is visible to query q   ⇔   k ≤ q < end[k]          (sliding window: and depth[q] − depth[k] < W)

The keys are those of the carried path, all above the chunk's first row, followed by those of its own rows. A block of 128
queries is given the list of blocks of 128 keys in which it sees anything; where it sees everything, the rule is not asked.

Shapes: R rows of the chunk, P rows of the path carried into it, K = P + R keys, Q blocks of queries, B blocks of keys,
H heads, G key-value heads, D width of a head.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.attention import flex_attention as flex
from torch.nn.attention.flex_attention import BlockMask

Ints = NDArray[np.int64]
Blocks = NDArray[np.bool_]

BLOCK = 128  # rows and keys of a block, as FlexAttention's kernels expect by default
# One kernel for all lengths, not another one for less than 128 rows: that one fails where lengths are dynamic.
KERNEL = {"BACKEND": "TRITON"} if hasattr(flex, "_Backend") else {"FORCE_USE_FLEX_ATTENTION": True}


@dataclass(frozen=True)
class FlexLayout:
    """What can be seen in a chunk, for the layers of a model to share."""

    path: int  # P: keys of the carried path
    end_K: Ints  # one past the key's last descendant row, in rows of the chunk; beyond R for what goes on in the next one
    depth_K: Ints
    depth_R: Ints
    _masks: dict[tuple[int | None, torch.device], BlockMask] = field(default_factory=dict, repr=False, compare=False)

    def mask(self, window: int | None, device: torch.device) -> BlockMask:
        """The chunk's visibility as FlexAttention takes it; made once for each window and device."""
        if (window, device) not in self._masks:
            self._masks[window, device] = self._mask(window, device)
        return self._masks[window, device]

    @property
    def first_K(self) -> Ints:
        """The first row that may see the key: −1 for the path, which all rows are below."""
        return np.concatenate([np.full(self.path, -1), np.arange(len(self.depth_R))])

    def blocks(self, window: int | None) -> tuple[Blocks, Blocks]:
        """Q × B: where some pair of query and key is visible, and where all pairs are."""
        rows, first_K = len(self.depth_R), self.first_K
        start_B = np.arange(0, len(self.end_K), BLOCK)
        some_QB = np.zeros((-(-rows // BLOCK), len(start_B)), np.bool_)
        all_QB = np.zeros_like(some_QB)
        for q, start in enumerate(range(0, rows, BLOCK)):
            stop = min(start + BLOCK, rows)
            some_K = (first_K < stop) & (self.end_K > start)
            all_K = (first_K <= start) & (self.end_K >= stop)
            if window is not None:
                depth_q = self.depth_R[start:stop]
                # What lies below a key from above the block is a run from the block's first row on. (A key of the block itself
                # is seen by its own row, which the run from there on covers too.)
                lowest_K = np.minimum.accumulate(depth_q)[np.clip(self.end_K, start + 1, stop) - 1 - start]
                some_K &= lowest_K < self.depth_K + window
                all_K &= depth_q.max() < self.depth_K + window
            some_QB[q] = np.logical_or.reduceat(some_K, start_B)
            all_QB[q] = np.logical_and.reduceat(all_K, start_B)
        return some_QB, all_QB

    def _mask(self, window: int | None, device: torch.device) -> BlockMask:
        some_QB, all_QB = self.blocks(window)
        count, index = _listed(some_QB & ~all_QB, device)
        full_count, full_index = _listed(all_QB, device)
        return BlockMask.from_kv_blocks(
            count, index, full_count, full_index, BLOCK, self._rule(window, device),
            seq_lengths=(len(self.depth_R), len(self.end_K)), compute_q_blocks=False,
        )  # fmt: skip

    def _rule(self, window: int | None, device: torch.device) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
        """The rule for one pair. It holds tensors and no numbers, so that chunks and windows share one compiled kernel."""
        first_K, end_K = _ints(self.first_K, device), _ints(np.minimum(self.end_K, len(self.depth_R)), device)
        if window is None:
            return lambda _b, _h, q, k: (first_K[k] <= q) & (q < end_K[k])
        depth_R, limit_K = _ints(self.depth_R, device), _ints(self.depth_K + window, device)
        return lambda _b, _h, q, k: (first_K[k] <= q) & (q < end_K[k]) & (depth_R[q] < limit_K[k])


def supports(query_1HRD: Tensor) -> bool:
    """Whether there is a kernel for such queries: on a GPU with Triton, heads at least 16 wide."""
    return query_1HRD.is_cuda and query_1HRD.shape[-1] >= 16 and find_spec("triton") is not None


def flex_attend(
    layout: FlexLayout,
    query_1HRD: Tensor,
    key_1GKD: Tensor,
    value_1GKD: Tensor,
    scaling: float | None = None,
    window: int | None = None,
    softcap: float | None = None,
    sinks_H: Tensor | None = None,
) -> Tensor:
    """What every row gathers from the keys it sees, R × H × D. Without a GPU the scores are written out (for tests)."""
    options: dict[str, Any] = {
        "score_mod": None if softcap is None else _softcapped(softcap),
        "block_mask": layout.mask(window, query_1HRD.device),
        "scale": scaling,
        "enable_gqa": query_1HRD.shape[1] != key_1GKD.shape[1],
        "kernel_options": KERNEL,
    }
    attend = _compiled() if query_1HRD.is_cuda else flex.flex_attention
    if sinks_H is None:
        out_1HRD = attend(query_1HRD, key_1GKD, value_1GKD, **options)
    else:
        request = flex.AuxRequest(lse=True)
        out_1HRD, aux = attend(query_1HRD, key_1GKD, value_1GKD, **options, return_aux=request)
        # A sink is one more score without a value: it takes its part of the weights, and what is left is the old share.
        share_1HR = torch.sigmoid(aux.lse - sinks_H.to(aux.lse.dtype)[:, None])
        out_1HRD = (out_1HRD * share_1HR[..., None]).to(out_1HRD.dtype)
    return out_1HRD[0].transpose(0, 1)


@functools.cache
def _compiled(backend: Any = "inductor") -> Callable[..., Any]:
    """FlexAttention as a kernel for any lengths, with scale and softcap as constants in it."""
    import torch._dynamo
    import torch.fx.experimental._config

    shapes: Any = torch.fx.experimental._config
    compiled: Any = torch.compile(flex.flex_attention, dynamic=True, backend=backend)

    def attend(*tensors: Tensor, **options: Any) -> Any:
        # Lengths that happen to be equal are no rule (the first chunk has as many keys as queries), and floats are not to be
        # symbols. Eight kernels are soon used up by a few models; beyond the limit scores would be written out, in silence.
        with torch._dynamo.config.patch(specialize_float=True, recompile_limit=64), shapes.patch(use_duck_shape=False):
            return compiled(*tensors, **options)

    return attend


@functools.cache
def _softcapped(softcap: float) -> Callable[..., Tensor]:
    return lambda score, _b, _h, _q, _k: softcap * torch.tanh(score / softcap)


def _listed(blocks_QB: Blocks, device: torch.device) -> tuple[Tensor, Tensor]:
    """How many blocks each row of blocks has, and which: those first, in ascending order (1 × 1 × Q and 1 × 1 × Q × B).

    Q and B are at least 2: a length of 1 would be compiled for apart."""
    blocks_QB = np.pad(blocks_QB, [(0, max(0, 2 - length)) for length in blocks_QB.shape])
    index_QB = np.argsort(~blocks_QB, axis=1, kind="stable")
    return _ints(blocks_QB.sum(1), device)[None, None], _ints(index_QB, device)[None, None]


def _ints(x: NDArray[np.integer], device: torch.device) -> Tensor:
    return torch.from_numpy(x.astype(np.int32)).to(device)
