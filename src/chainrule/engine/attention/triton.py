"""Attention over a chunk of a forest on a GPU: one Triton kernel for forests of any shape, without a mask in memory.

    key k is visible to query q   ⇔   k ≤ q < end[k]          (sliding window: and depth[q] − depth[k] < W)

The keys are those of the cached path, all above the chunk's first row, followed by those of the chunk's rows. Each block of
rows has a list of key blocks that are fully visible to it, where the rule is not evaluated, and a list of partly visible ones.

Shapes: R rows of the chunk, P rows of the cached path, K = P + R keys, Q blocks of rows, B blocks of keys, H heads,
G key-value heads, D and E width of a head's keys and values.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from math import log
from typing import Any

import numpy as np
import torch
from torch import Tensor

from chainrule._types import Bools, Ints
from chainrule.ops.gpu import takes_triton
from chainrule.ops.transfer import together

Blocks = Bools

WIDEST = 512  # width of a head
LOG2E = 1 / log(2)


@dataclass(frozen=True)
class Tile:
    """Rows and keys multiplied at a time."""

    rows: int
    keys: int
    num_warps: int
    num_stages: int

    def bytes(self, width: int, itemsize: int) -> int:
        """The shared memory it takes, for keys and values of this total width."""
        return itemsize * width * (self.rows // 2 + self.keys * self.num_stages) + (2 << 10)


# By bytes per number and width of a head: the first tile that fits a GPU's shared memory. Measured on an H100 (LOG.md).
TILES = {
    (2, 64): (Tile(64, 64, 4, 3), Tile(32, 32, 4, 1)),
    (2, 128): (Tile(128, 64, 8, 3), Tile(64, 64, 4, 2), Tile(64, 32, 4, 2), Tile(32, 32, 4, 1)),
    (2, 256): (Tile(128, 32, 8, 2), Tile(64, 32, 4, 2), Tile(32, 32, 4, 1)),
    (2, 512): (Tile(64, 16, 8, 2), Tile(32, 16, 4, 2), Tile(16, 16, 4, 1)),
    (4, 64): (Tile(32, 32, 4, 2), Tile(32, 32, 4, 1)),
    (4, 128): (Tile(32, 16, 4, 2), Tile(16, 16, 4, 1)),
    (4, 256): (Tile(64, 16, 8, 2), Tile(32, 16, 8, 2), Tile(16, 16, 4, 1)),
    (4, 512): (Tile(32, 16, 8, 2), Tile(16, 16, 8, 2), Tile(16, 16, 4, 1)),
}


@dataclass(frozen=True)
class TritonLayout:
    """Which keys are visible in a chunk, shared by the layers of a model."""

    path: int  # P: keys of the cached path
    end_K: Ints  # one past the key's last descendant row, in rows of the chunk; above R if it has descendants in later chunks
    depth_R: Ints
    _tables: dict[Any, list[Tensor]] = field(default_factory=dict, repr=False, compare=False)

    def tables(self, window: int | None, rows: int, keys: int, device: torch.device) -> list[Tensor]:
        """The visibility rule, and lists of blocks of this many rows and keys, as `attend_kernel` takes them; cached.

        first_K, end_K, limit_K and depth_R: a row sees a key if first ≤ row < end and its depth is below limit. Then, for each
        block of rows, the number of fully visible key blocks and of partly visible ones, Q each, and their indices, Q × B each.
        """
        key = window, rows, keys, device
        if key not in self._tables:
            some_QB, all_QB = self.blocks(window, rows, keys)
            counts, lists = zip(*(_block_lists(blocks_QB) for blocks_QB in (all_QB, some_QB & ~all_QB)), strict=True)
            limit_K = self.depth_K + (window or 0)
            self._tables[key] = _to_device([self.first_K, self.end_K, limit_K, self.depth_R, *counts, *lists], device)
        return self._tables[key]

    @property
    def first_K(self) -> Ints:
        """The first row that may see each key: −1 for the path, which all rows descend from."""
        return np.concatenate([np.full(self.path, -1), np.arange(len(self.depth_R))])

    @property
    def depth_K(self) -> Ints:
        return np.concatenate([np.arange(self.path), self.depth_R])

    def blocks(self, window: int | None, rows: int, keys: int) -> tuple[Blocks, Blocks]:
        """Q × B: blocks where some pair of query and key may be visible, and blocks where all pairs are.

        The first is a bound: it excludes only blocks whose ranges of rows or of depths cannot overlap.
        """
        first_K, start_Q = self.first_K, np.arange(0, len(self.depth_R), rows)
        stop_Q = np.minimum(start_Q + rows, len(self.depth_R))
        start_B = np.arange(0, len(self.end_K), keys)
        whole_B = start_B + keys <= len(self.end_K)

        def least(x_K: Ints) -> Ints:
            return np.minimum.reduceat(x_K, start_B)

        def most(x_K: Ints) -> Ints:
            return np.maximum.reduceat(x_K, start_B)

        some_QB = (least(first_K) < stop_Q[:, None]) & (most(self.end_K) > start_Q[:, None])
        all_QB = (most(first_K) <= start_Q[:, None]) & (least(self.end_K) >= stop_Q[:, None]) & whole_B
        if window is not None:
            limit_K = self.depth_K + window
            some_QB &= np.minimum.reduceat(self.depth_R, start_Q)[:, None] < most(limit_K)
            all_QB &= np.maximum.reduceat(self.depth_R, start_Q)[:, None] < least(limit_K)
        return some_QB, all_QB


def supports(query_1HRD: Tensor, value_KGE: Tensor) -> bool:
    """Whether there is a kernel for these: a GPU with Triton, numbers of 2 or 4 bytes, heads of at most `WIDEST`."""
    narrow = max(query_1HRD.shape[-1], value_KGE.shape[-1]) <= WIDEST and query_1HRD.dtype.itemsize in (2, 4)
    if not (narrow and takes_triton(query_1HRD)):
        return False
    widths = _wide(query_1HRD.shape[-1]), _wide(value_KGE.shape[-1])
    return tile_of(query_1HRD.dtype, *widths, query_1HRD.device) is not None


def triton_attend(
    layout: TritonLayout,
    query_1HRD: Tensor,
    key_KGD: Tensor,
    value_KGE: Tensor,
    scaling: float | None = None,
    window: int | None = None,
    softcap: float | None = None,
    sink_H: Tensor | None = None,
) -> Tensor:
    """The attention output of each row over its visible keys, R × H × E. A sink takes part of the weight and adds nothing."""
    from chainrule.ops.attention_triton import attend_kernel  # imports Triton

    query_HRD, key_KGD, value_KGE = (x if x.stride(-1) == 1 else x.contiguous() for x in (query_1HRD[0], key_KGD, value_KGE))
    (heads, rows, width), (keys, shared, value_width) = query_HRD.shape, value_KGE.shape
    wide = _wide(width), _wide(value_width)
    tile = tile_of(query_HRD.dtype, *wide, query_HRD.device)
    if tile is None:
        raise ValueError(f"no tile fits heads {width} and {value_width} wide of {query_HRD.dtype}: call supports() first")
    tables = layout.tables(window, tile.rows, tile.keys, query_HRD.device)
    out_RHE = torch.empty(rows, heads, value_width, dtype=query_HRD.dtype, device=query_HRD.device)
    scale = width**-0.5 if scaling is None else scaling
    kernel: Any = attend_kernel
    with torch.cuda.device_of(query_HRD):  # Triton launches on the current device
        kernel[heads, -(-rows // tile.rows)](
            query_HRD, key_KGD, value_KGE, out_RHE, query_HRD if sink_H is None else sink_H, *tables,
            rows, keys, tables[-1].shape[1], *query_HRD.stride()[:2], *key_KGD.stride()[:2], *value_KGE.stride()[:2],
            *out_RHE.stride()[:2], float(scale if softcap else scale * LOG2E), float(softcap or 1.0),
            SHARE=heads // shared, HAS_SINK=sink_H is not None, HAS_WINDOW=window is not None, HAS_SOFTCAP=bool(softcap),
            WIDEN=not query_HRD.is_cuda, ROWS=tile.rows, KEYS=tile.keys, D=width, E=value_width, WIDE_D=wide[0], WIDE_E=wide[1],
            num_warps=tile.num_warps, num_stages=tile.num_stages,
        )  # fmt: skip
    return out_RHE


def _wide(width: int) -> int:
    """The width that Triton multiplies instead of `width`: the next power of 2, at least 16."""
    return max(16, 1 << (width - 1).bit_length())


@cache
def tile_of(dtype: torch.dtype, wide_keys: int, wide_values: int, device: torch.device) -> Tile | None:
    """The first tile that fits the device's shared memory for heads of these widths; None if none does."""
    tiles = TILES[dtype.itemsize, max(64, wide_keys, wide_values)]
    if device.type == "cpu":
        return tiles[-1]
    available = getattr(torch.cuda.get_device_properties(device), "shared_memory_per_block_optin", 48 << 10)
    return next((tile for tile in tiles if tile.bytes(wide_keys + wide_values, dtype.itemsize) <= available), None)


def _block_lists(blocks_QB: Blocks) -> tuple[Ints, Ints]:
    """The number of blocks in each row, Q, and their indices in ascending order followed by the others, Q × B."""
    return blocks_QB.sum(1), np.argsort(~blocks_QB, axis=1, kind="stable")


def _to_device(arrays: list[Ints], device: torch.device) -> list[Tensor]:
    """Integer arrays as int32 tensors on the device, transferred in one copy."""
    return together([torch.from_numpy(x.astype(np.int32)) for x in arrays], device)
