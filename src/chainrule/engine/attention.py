"""Attention over a forest: key k is visible to query q ⇔ k ≤ q < end[k]  (sliding window: and depth[q] − depth[k] < W).

Registered with transformers under one name; the layout of the chunk at hand travels through the model's forward as the
keyword argument `forest`. Between chunks the keys and values of the current root-to-node path are carried, per layer.
Each row attends to the keys near and far apart (`forest.tiles`); their log-sum-exps put the two together.

Shapes: R rows of the chunk, P rows of the path carried into it, B tiles of a group, Q queries, K keys of a tile, H heads,
G key-value heads, D width of a head.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import AttentionInterface

from chainrule.engine.flex import FlexLayout, flex_attend, supports
from chainrule.forest.chunks import Chunk
from chainrule.forest.tiles import KEYS, QUERIES, Far, Near, T

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


@dataclass(frozen=True)
class Kind:
    """All that may decide which kernel attends, but for the numbers of queries and keys."""

    heads: int
    groups: int
    width: int
    value_width: int
    dtype: torch.dtype
    softcapped: bool
    threads: int


class Layout:
    """What the attention of every layer needs to know of the chunk that runs; masks are made once for all layers."""

    def __init__(self, chunk: Chunk, carry: PathCarry, device: torch.device) -> None:
        self.path, self.carry = chunk.path, carry
        self.kinds: set[Kind] = set()  # noted in passing
        self.near = [NearCall(near, device) for near in chunk.near]
        self.flex = FlexLayout(chunk.path, chunk.end_K, np.append(np.arange(chunk.path), chunk.depth_R), chunk.depth_R)
        self._far, self._device = chunk.far, device
        self._far_calls: dict[int | None, list[FarCall]] = {}

    def far(self, window: int | None) -> list[FarCall]:
        if window not in self._far_calls:
            seen = self._far if window is None else [part for far in self._far if (part := far.within(window))]
            self._far_calls[window] = [FarCall(far, window, self._device) for far in seen]
        return self._far_calls[window]


class NearCall:
    """One call for tiles of like shape: keys gathered from where the path's rows stand, by depth."""

    def __init__(self, near: Near, device: torch.device) -> None:
        self.near, self.shape = near, near.row_BQ.shape
        self.row_N, self.place_N = _index(near.row_BQ, device), _index(near.place_BK, device)
        self._masks: dict[int | None, Tensor] = {}

    def __call__(self, query_RHD: Tensor, key_KGD: Tensor, value_KGD: Tensor, window: int | None, **how: Any) -> Any:
        """What the rows `row_N` attended to, N × H × D, and its log-sum-exp, N × H."""
        if window not in self._masks:
            self._masks[window] = _mask(self.near.visible(window), query_RHD)[:, None]
        rows = (query_RHD[self.row_N], key_KGD[self.place_N], value_KGD[self.place_N])
        query, key, value = (x.unflatten(0, (self.shape[0], -1)).transpose(1, 2) for x in rows)
        out, lse = attend(query, key, value, self._masks[window], **how)
        return out.transpose(1, 2).flatten(0, 1), lse.transpose(1, 2).flatten(0, 1)


class FarCall:
    """One call for all rows below the same ancestor; on a path that is not interrupted, the keys stay where they are."""

    def __init__(self, far: Far, window: int | None, device: torch.device) -> None:
        rows = np.pad(far.row_Q, (0, -len(far.row_Q) % QUERIES), mode="edge")
        self.rows, self.row_N, self.place_K = len(rows), _index(rows, device), _index(far.place_K, device)
        self.far, self.window = far, window
        self._mask_11XK: Tensor | None = None

    def __call__(self, query_RHD: Tensor, key_KGD: Tensor, value_KGD: Tensor, **how: Any) -> Any:
        """As NearCall. The heads that share a key head stand as further rows, so that there are fewer, larger products."""
        query_GXD = _folded(query_RHD[self.row_N], key_KGD.shape[1])
        key, value = (x[self.place_K].transpose(0, 1)[None] for x in (key_KGD, value_KGD))
        out, lse = attend(query_GXD[None], key, value, self._mask(query_RHD, query_GXD.shape[1]), **how)
        return _unfolded(out[0], self.rows), _unfolded(lse[0, ..., None], self.rows)[..., 0]

    def _mask(self, like: Tensor, queries: int) -> Tensor | None:
        if self.window is not None and self._mask_11XK is None:
            seen_QK = np.pad(self.far.visible(self.window), ((0, self.rows - len(self.far.row_Q)), (0, 0)), mode="edge")
            self._mask_11XK = _mask(seen_QK, like).repeat(queries // self.rows, 1)[None, None]
        return self._mask_11XK


def _index(rows: NDArray[np.int64], device: torch.device) -> slice | Tensor:
    """Rows to take: a slice, which copies nothing, where they follow one another."""
    rows = rows.reshape(-1)
    if np.array_equal(rows, np.arange(rows[0], rows[0] + len(rows))):
        return slice(int(rows[0]), int(rows[0]) + len(rows))
    return torch.from_numpy(rows).to(device)


def _folded(query_QHD: Tensor, groups: int) -> Tensor:
    """Q × H × D → G × (H/G · Q) × D."""
    return query_QHD.unflatten(1, (groups, -1)).permute(1, 2, 0, 3).flatten(1, 2)


def _unfolded(x_GXD: Tensor, rows: int) -> Tensor:
    """The inverse: Q × H × D."""
    return x_GXD.unflatten(1, (-1, rows)).permute(2, 0, 1, 3).flatten(1, 2)


def _mask(seen: Any, like: Tensor) -> Tensor:
    """What is added to the attention scores: 0 where visible, −inf where not."""
    hidden = torch.from_numpy(~seen).to(like.device)
    return torch.zeros(hidden.shape, dtype=like.dtype, device=like.device).masked_fill_(hidden, -torch.inf)


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
    widths = (query.shape[1], key.shape[1], key.shape[-1], value.shape[-1])
    forest.kinds.add(Kind(*widths, query.dtype, softcap is not None, torch.get_num_threads()))
    keys, values = forest.carry.extend(module, key, value, forest.path)
    if supports(query):
        key_1GKD, value_1GKD = keys.transpose(0, 1)[None], values.transpose(0, 1)[None]
        return flex_attend(forest.flex, query, key_1GKD, value_1GKD, scaling, sliding_window, softcap, s_aux)[None], None
    query_RHD, how = query[0].transpose(0, 1), {"scaling": scaling, "softcap": softcap}
    out_RHD = value.new_empty(query.shape[2], query.shape[1], value.shape[-1])
    lse_RH = torch.empty(out_RHD.shape[:2], dtype=torch.promote_types(value.dtype, torch.float32), device=value.device)
    for call in forest.near:
        out_RHD[call.row_N], lse_RH[call.row_N] = call(query_RHD, keys, values, sliding_window, **how)
    for call in forest.far(sliding_window):
        near, far = (out_RHD[call.row_N], lse_RH[call.row_N]), call(query_RHD, keys, values, **how)
        out_RHD[call.row_N], lse_RH[call.row_N] = _together(*near, *far)
    if s_aux is not None:  # a sink takes its share of the probability and gives nothing (GPT-OSS)
        out_RHD *= (1 / (1 + torch.exp(s_aux.to(lse_RH) - lse_RH)))[..., None].to(out_RHD)
    return out_RHD[None], None


def _together(near: Tensor, near_lse: Tensor, far: Tensor, far_lse: Tensor) -> tuple[Tensor, Tensor]:
    """Attention to two sets of keys, from attention to each and its log-sum-exp: σ(far_lse − near_lse) is far's share."""
    share = 1 / (1 + torch.exp(near_lse - far_lse))[..., None]  # exp's bits do not depend on the place; sigmoid's do
    both_lse = torch.maximum(near_lse, far_lse) + torch.log1p(torch.exp(-(near_lse - far_lse).abs()))
    return (near.to(share) + share * (far.to(share) - near.to(share))).to(near), both_lse


def attend(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, *, scaling: float | None, softcap: float | None
) -> tuple[Tensor, Tensor]:
    """What B × H × Q × D queries make of B × G × K × D keys, B × H × Q × D, and the scores' log-sum-exp, B × H × Q."""
    if q.device.type == "cpu" and softcap is None and q.shape[-1] == v.shape[-1]:
        return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q, k, v, attn_mask=mask, scale=scaling)
    return _attend(q, k, v, mask, scaling, softcap)


def _attend(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scaling: float | None, softcap: float | None
) -> tuple[Tensor, Tensor]:
    """The same written out, for what the fused kernel lacks: other devices, softcapped scores (Gemma 2), narrower values."""
    repeat = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(repeat, 1), v.repeat_interleave(repeat, 1)
    scores = (q @ k.transpose(2, 3)).to(torch.promote_types(q.dtype, torch.float32))
    scores = scores * (q.shape[-1] ** -0.5 if scaling is None else scaling)
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    if mask is not None:
        scores = scores + mask
    return scores.softmax(-1).to(v.dtype) @ v, scores.logsumexp(-1)


@cache
def settled(kind: Kind) -> bool:
    """Whether a row gets the same bits whatever number of queries stands beside it, and of hidden keys behind its own."""
    draw = torch.Generator().manual_seed(0)
    query, key, value = (
        torch.randn(3, heads, 2 * T, width, generator=draw).to(kind.dtype)
        for heads, width in ((kind.heads, kind.width), (kind.groups, kind.width), (kind.groups, kind.value_width))
    )
    how = {"scaling": None, "softcap": 50.0 if kind.softcapped else None}
    seen = torch.ones(T, T, dtype=torch.bool).tril()
    near = attend(query[:, :, :T], key[:, :, :T], value[:, :, :T], _mask(seen.numpy(), query)[None, None], **how)
    far = attend(query, key, value, None, **how)
    for first, stop, keys in ((0, QUERIES, KEYS), (KEYS - QUERIES, KEYS, KEYS), (5, 45, 2 * KEYS), (50, 90, 3 * KEYS)):
        some, mask = slice(first, stop), _mask(seen[first:stop, :keys].numpy(), query)[None, None]
        few = attend(query[:, :, some], key[:, :, :keys], value[:, :, :keys], mask, **how)
        fewer = attend(query[:, :, some], key, value, None, **how)
        pairs = [*zip(few, near, strict=True), *zip(fewer, far, strict=True)]
        if not all(torch.equal(a, b[:, :, some]) for a, b in pairs):
            return False
    return True


AttentionInterface.register(NAME, forest_attention)
