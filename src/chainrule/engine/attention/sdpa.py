"""Attention over a chunk of a forest by PyTorch's own kernels, with near and far keys computed separately (`forest.tiles`).

Tiles of the same shape share a call, and so do all rows below one ancestor. Near and far outputs are combined by their
log-sum-exps.

Shapes: R rows of the chunk, K keys (of the cached path and the chunk's rows; or of a tile), N rows of a call, B tiles of a
group, Q queries, H heads, G key-value heads, D width of a head.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from chainrule._types import Ints
from chainrule.forest.tiles import KEYS, QUERIES, Far, Near, T, Tiles
from chainrule.ops.transfer import sent


@dataclass(frozen=True)
class Kind:
    """Everything but the numbers of queries and keys that may decide which kernel PyTorch runs."""

    heads: int
    groups: int
    width: int
    value_width: int
    dtype: torch.dtype
    softcapped: bool
    threads: int


class SDPALayout:
    """The attention calls of a chunk, shared by the layers of a model. Masks are built once for all layers."""

    def __init__(self, tiles: Tiles, device: torch.device) -> None:
        self.kinds: set[Kind] = set()  # of the calls made so far
        self._tiles, self._device = tiles, device
        self._far: dict[int | None, list[FarCall]] = {}

    @cached_property
    def near(self) -> list[NearCall]:
        return [NearCall(near, self._device) for near in self._tiles.near]

    def far(self, window: int | None) -> list[FarCall]:
        if window not in self._far:
            all_far = self._tiles.far
            visible = all_far if window is None else [part for far in all_far if (part := far.within(window))]
            self._far[window] = [FarCall(far, window, self._device) for far in visible]
        return self._far[window]


def sdpa_attend(
    layout: SDPALayout,
    query_RHD: Tensor,
    key_KGD: Tensor,
    value_KGD: Tensor,
    scaling: float | None,
    window: int | None,
    softcap: float | None,
) -> tuple[Tensor, Tensor]:
    """The attention output of each row over its path, R × H × D, and the log-sum-exp of its scores, R × H."""
    widths = (query_RHD.shape[1], key_KGD.shape[1], key_KGD.shape[-1], value_KGD.shape[-1])
    layout.kinds.add(Kind(*widths, query_RHD.dtype, softcap is not None, torch.get_num_threads()))
    out_RHD = value_KGD.new_empty(*query_RHD.shape[:2], value_KGD.shape[-1])
    lse_RH = out_RHD.new_empty(out_RHD.shape[:2], dtype=torch.promote_types(value_KGD.dtype, torch.float32))
    options = {"scaling": scaling, "softcap": softcap}
    for call in layout.near:
        out_RHD[call.row_N], lse_RH[call.row_N] = call(query_RHD, key_KGD, value_KGD, window, **options)
    for call in layout.far(window):
        near, far = (out_RHD[call.row_N], lse_RH[call.row_N]), call(query_RHD, key_KGD, value_KGD, **options)
        out_RHD[call.row_N], lse_RH[call.row_N] = _combine(*near, *far)
    return out_RHD, lse_RH


class NearCall:
    """One call for tiles of the same shape. Keys are gathered by depth."""

    def __init__(self, near: Near, device: torch.device) -> None:
        self.near, self.shape = near, near.row_BQ.shape
        self.row_N, self.key_N = _index(near.row_BQ, device), _index(near.slot_BK, device)
        self._masks: dict[int | None, Tensor] = {}

    def __call__(self, query_RHD: Tensor, key_KGD: Tensor, value_KGD: Tensor, window: int | None, **options: Any) -> Any:
        """The attention output of the rows `row_N`, N × H × D, and the log-sum-exp of their scores, N × H."""
        if window not in self._masks:
            self._masks[window] = _mask(self.near.visible(window), query_RHD)[:, None]
        rows = (query_RHD[self.row_N], key_KGD[self.key_N], value_KGD[self.key_N])
        query, key, value = (x.unflatten(0, (self.shape[0], -1)).transpose(1, 2) for x in rows)
        out, lse = attend(query, key, value, self._masks[window], **options)
        return out.transpose(1, 2).flatten(0, 1), lse.transpose(1, 2).flatten(0, 1)


class FarCall:
    """One call for all rows below one ancestor. Where the path is contiguous, its keys are not copied."""

    def __init__(self, far: Far, window: int | None, device: torch.device) -> None:
        rows = np.pad(far.row_Q, (0, -len(far.row_Q) % QUERIES), mode="edge")
        self.rows, self.row_N, self.key_K = len(rows), _index(rows, device), _index(far.slot_K, device)
        self.far, self.window = far, window
        self._mask_11XK: Tensor | None = None

    def __call__(self, query_RHD: Tensor, key_KGD: Tensor, value_KGD: Tensor, **options: Any) -> Any:
        """As `NearCall`. Heads that share a key head become extra rows, so that there are fewer and larger products."""
        query_GXD = _fold_heads(query_RHD[self.row_N], key_KGD.shape[1])
        key, value = (x[self.key_K].transpose(0, 1)[None] for x in (key_KGD, value_KGD))
        out, lse = attend(query_GXD[None], key, value, self._mask(query_RHD, query_GXD.shape[1]), **options)
        return _unfold_heads(out[0], self.rows), _unfold_heads(lse[0, ..., None], self.rows)[..., 0]

    def _mask(self, like: Tensor, queries: int) -> Tensor | None:
        if self.window is not None and self._mask_11XK is None:
            visible_QK = np.pad(self.far.visible(self.window), ((0, self.rows - len(self.far.row_Q)), (0, 0)), mode="edge")
            self._mask_11XK = _mask(visible_QK, like).repeat(queries // self.rows, 1)[None, None]
        return self._mask_11XK


def _index(rows: Ints, device: torch.device) -> slice | Tensor:
    """An index of these rows: a slice, which copies nothing, where they are consecutive."""
    rows = rows.reshape(-1)
    if np.array_equal(rows, np.arange(rows[0], rows[0] + len(rows))):
        return slice(int(rows[0]), int(rows[0]) + len(rows))
    return sent(rows, device)


def _fold_heads(query_QHD: Tensor, groups: int) -> Tensor:
    """Q × H × D → G × (H/G · Q) × D."""
    return query_QHD.unflatten(1, (groups, -1)).permute(1, 2, 0, 3).flatten(1, 2)


def _unfold_heads(x_GXD: Tensor, rows: int) -> Tensor:
    """The inverse of `_fold_heads`: Q × H × D."""
    return x_GXD.unflatten(1, (-1, rows)).permute(2, 0, 1, 3).flatten(1, 2)


def _mask(visible: Any, like: Tensor) -> Tensor:
    """The term added to attention scores: 0 for visible keys, −inf for hidden ones."""
    hidden = sent(~visible, like.device)
    return torch.zeros(hidden.shape, dtype=like.dtype, device=like.device).masked_fill_(hidden, -torch.inf)


def _combine(near: Tensor, near_lse: Tensor, far: Tensor, far_lse: Tensor) -> tuple[Tensor, Tensor]:
    """Attention to two sets of keys, from the output and log-sum-exp of each. The far share is σ(far_lse − near_lse)."""
    share = 1 / (1 + torch.exp(near_lse - far_lse))[..., None]  # unlike sigmoid, exp gives the same bits at every position
    both_lse = torch.maximum(near_lse, far_lse) + torch.log1p(torch.exp(-(near_lse - far_lse).abs()))
    return (near.to(share) + share * (far.to(share) - near.to(share))).to(near), both_lse


def attend(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, *, scaling: float | None, softcap: float | None
) -> tuple[Tensor, Tensor]:
    """Attention of B × H × Q × D queries to B × G × K × D keys: output B × H × Q × D, log-sum-exp of the scores B × H × Q."""
    if q.device.type == "cpu" and softcap is None and q.shape[-1] == v.shape[-1]:
        return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q, k, v, attn_mask=mask, scale=scaling)
    return _attend(q, k, v, mask, scaling, softcap)


def _attend(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scaling: float | None, softcap: float | None
) -> tuple[Tensor, Tensor]:
    """The same, written out for cases that the fused kernel lacks: other devices, softcaps (Gemma 2), narrower values."""
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
def row_invariant(kind: Kind) -> bool:
    """Whether a row keeps its bits for any number of queries, and of hidden keys after its own, in a call."""
    draw = torch.Generator().manual_seed(0)
    query, key, value = (
        torch.randn(3, heads, 2 * T, width, generator=draw, dtype=torch.float32, device="cpu").to(kind.dtype)
        for heads, width in ((kind.heads, kind.width), (kind.groups, kind.width), (kind.groups, kind.value_width))
    )
    options = {"scaling": None, "softcap": 50.0 if kind.softcapped else None}
    visible = torch.ones(T, T, dtype=torch.bool, device="cpu").tril()
    near = attend(query[:, :, :T], key[:, :, :T], value[:, :, :T], _mask(visible.numpy(), query)[None, None], **options)
    far = attend(query, key, value, None, **options)
    for first, stop, keys in ((0, QUERIES, KEYS), (KEYS - QUERIES, KEYS, KEYS), (5, 45, 2 * KEYS), (50, 90, 3 * KEYS)):
        rows, mask = slice(first, stop), _mask(visible[first:stop, :keys].numpy(), query)[None, None]
        some_near = attend(query[:, :, rows], key[:, :, :keys], value[:, :, :keys], mask, **options)
        some_far = attend(query[:, :, rows], key, value, None, **options)
        pairs = [*zip(some_near, near, strict=True), *zip(some_far, far, strict=True)]
        if not all(torch.equal(a, b[:, :, rows]) for a, b in pairs):
            return False
    return True
