"""Attention over a forest: key k is visible to query q ⇔ k ≤ q < end[k]  (sliding window: and depth[q] − depth[k] < W).

Registered with transformers under one name; the layout of the chunk at hand travels through the model's forward as the
keyword argument `forest`. Between chunks the keys and values of the current root-to-node path are carried, per layer.

Shapes: R rows of the chunk, P rows of the path carried into it, B tiles of a group, Q queries, K keys of a tile, H heads,
G key-value heads, D width of a head.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AttentionInterface

from chainrule.forest.chunks import Chunk
from chainrule.forest.tiles import Tile, group

NAME = "chainrule_forest"


class PathCarry:
    """Keys and values of the path above the current chunk, followed by the chunk's own: one pair of buffers a layer."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity  # the deepest path of the forest and one chunk
        self._layers: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    def extend(self, layer: nn.Module, key_1GRD: Tensor, value_1GRD: Tensor, path: int) -> tuple[Tensor, Tensor]:
        """Put the chunk's keys and values behind the path's; returns both, (P + R) × G × D."""
        if layer not in self._layers:
            self._layers[layer] = (self._buffer(key_1GRD), self._buffer(value_1GRD))
        stop = path + key_1GRD.shape[2]
        buffers = self._layers[layer]
        for buffer, fresh in zip(buffers, (key_1GRD, value_1GRD), strict=True):
            buffer[path:stop] = fresh[0].transpose(0, 1)
        return buffers[0][:stop], buffers[1][:stop]

    def settle(self, chunk: Chunk) -> None:
        """Leave just the next chunk's path in the buffers. A path that simply grows stays where it is."""
        stop = chunk.keep + len(chunk.carry)
        place = chunk.path + chunk.carry
        if np.array_equal(place, np.arange(chunk.keep, stop)):
            return
        for buffers in self._layers.values():
            for buffer in buffers:
                buffer[chunk.keep : stop] = buffer[torch.from_numpy(place).to(buffer.device)]

    def _buffer(self, like_1GRD: Tensor) -> Tensor:
        _, heads, _, width = like_1GRD.shape
        return like_1GRD.new_empty(self.capacity, heads, width)


@dataclass
class Group:
    """Tiles of like shape, padded to one: B × Q queries and B × K keys, by place. A lone contiguous tile needs neither."""

    tiles: list[Tile]

    def __post_init__(self) -> None:
        first = self.tiles[0]
        self.lone = len(self.tiles) == 1 and first.contiguous
        self.rows = slice(first.first, first.stop)
        self.keys = len(first.place_K)
        self._masks: dict[int | None, Tensor] = {}
        if not self.lone:
            self._pad()

    def _pad(self) -> None:
        queries, keys = max(t.stop - t.first for t in self.tiles), max(len(t.place_K) for t in self.tiles)
        self.query_BQ = torch.zeros(len(self.tiles), queries, dtype=torch.long)
        self.key_BK = torch.zeros(len(self.tiles), keys, dtype=torch.long)
        for b, tile in enumerate(self.tiles):
            self.query_BQ[b, : tile.stop - tile.first] = torch.arange(tile.first, tile.stop)
            self.key_BK[b, : len(tile.place_K)] = torch.from_numpy(tile.place_K)
        self.real_BQ = torch.tensor([[q < t.stop - t.first for q in range(queries)] for t in self.tiles])

    def mask(self, window: int | None, like: Tensor) -> Tensor:
        """What is added to the attention scores, B × 1 × Q × K: 0 where visible, −inf where not. Made once a chunk."""
        if window not in self._masks:
            self._masks[window] = self._mask(window, like)
        return self._masks[window]

    def _mask(self, window: int | None, like: Tensor) -> Tensor:
        shape = (1, 1, self.rows.stop - self.rows.start, self.keys) if self.lone else (
            len(self.tiles), 1, self.query_BQ.shape[1], self.key_BK.shape[1])  # fmt: skip
        seen = torch.zeros(shape, dtype=torch.bool)
        for b, tile in enumerate(self.tiles):
            seen[b, 0, : tile.stop - tile.first, : len(tile.place_K)] = torch.from_numpy(tile.visible(window))
            seen[b, 0, tile.stop - tile.first :, 0] = True  # padded queries look somewhere, so that none is NaN
        return torch.zeros(shape, dtype=like.dtype).masked_fill_(~seen, -torch.inf).to(like.device)

    def gather(self, query_1HRD: Tensor, key_KGD: Tensor, value_KGD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """This group's queries B × H × Q × D, keys and values B × G × K × D."""
        if self.lone:
            return query_1HRD[:, :, self.rows], _heads_first(key_KGD[None, : self.keys]), _heads_first(
                value_KGD[None, : self.keys])  # fmt: skip
        query_RHD, device = query_1HRD[0].transpose(0, 1), query_1HRD.device
        picked = [rows[index.to(device)] for rows, index in (
            (query_RHD, self.query_BQ), (key_KGD, self.key_BK), (value_KGD, self.key_BK))]  # fmt: skip
        return _heads_first(picked[0]), _heads_first(picked[1]), _heads_first(picked[2])

    def scatter(self, out_RHD: Tensor, attended_BHQD: Tensor) -> None:
        """Put the group's results back where its queries came from."""
        if self.lone:
            out_RHD[self.rows] = attended_BHQD[0].transpose(0, 1)
        else:
            real = self.real_BQ.to(out_RHD.device)
            out_RHD[self.query_BQ.to(out_RHD.device)[real]] = attended_BHQD.transpose(1, 2)[real]


def _heads_first(x_BNHD: Tensor) -> Tensor:
    return x_BNHD.transpose(1, 2)


class Layout:
    """What the attention of every layer needs to know of the chunk that runs."""

    def __init__(self, chunk: Chunk, carry: PathCarry) -> None:
        self.path, self.carry = chunk.path, carry
        self.groups = [Group(tiles) for tiles in group(chunk.tiles)]


def forest_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    forest: Layout | None = None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """One layer's attention for one chunk, in transformers' own signature. Returns 1 × R × H × D."""
    if forest is None:
        raise TypeError("this architecture does not hand the layout on to its attention")
    keys, values = forest.carry.extend(module, key, value, forest.path)
    out_RHD = query.new_empty(query.shape[2], query.shape[1], value.shape[-1])
    for part in forest.groups:
        q, k, v = part.gather(query, keys, values)
        mask = part.mask(sliding_window, query)
        if softcap is None and s_aux is None:
            attended = nn.functional.scaled_dot_product_attention(
                q, k, v, attn_mask=mask, scale=scaling, enable_gqa=q.shape[1] != k.shape[1])  # fmt: skip
        else:
            attended = _attend(q, k, v, mask, scaling, softcap, s_aux)
        part.scatter(out_RHD, attended)
    return out_RHD[None], None


def _attend(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor, scaling: float | None, softcap: float | None, sinks_H: Tensor | None
) -> Tensor:
    """Attention written out, for what the fused kernel lacks: softcapped scores (Gemma 2), attention sinks (GPT-OSS)."""
    repeat = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(repeat, 1), v.repeat_interleave(repeat, 1)
    scores = (q @ k.transpose(2, 3)).float() * (q.shape[-1] ** -0.5 if scaling is None else scaling)
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    scores = scores + mask
    if sinks_H is not None:
        sink = sinks_H.float().reshape(1, -1, 1, 1).expand(*scores.shape[:3], 1)
        scores = torch.cat([scores, sink], -1)
    return scores.softmax(-1)[..., : k.shape[2]].to(v.dtype) @ v


AttentionInterface.register(NAME, forest_attention)
