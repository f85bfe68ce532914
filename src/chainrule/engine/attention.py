"""Attention over a forest: key k is visible to query q ⇔ k ≤ q < end[k]  (sliding window: and depth[q] − depth[k] < W).

Registered with transformers under one name; the layout of the chunk at hand travels through the model's forward as the
keyword argument `forest`. Between chunks the keys and values of the current root-to-node path are carried, per layer.
Which of three ways attends is decided by what they support: FlexAttention on a GPU, the compiled kernel, PyTorch's own kernels.

Shapes: R rows of the chunk, P rows of the path carried into it, K = P + R places, H heads, G key-value heads, D width.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AttentionInterface

from chainrule import native
from chainrule.engine.flex import FlexLayout, flex_attend
from chainrule.engine.flex import supports as flex_supports
from chainrule.engine.native_attention import NativeLayout, native_attend
from chainrule.engine.pieces import PiecesLayout, attend_in_pieces
from chainrule.forest.chunks import Chunk

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


class Layout:
    """What the attention of every layer needs to know of the chunk that runs, for each of the ways."""

    def __init__(self, chunk: Chunk, carry: PathCarry, device: torch.device) -> None:
        self.path, self.carry = chunk.path, carry
        self.flex = FlexLayout(chunk.path, chunk.end_K, np.append(np.arange(chunk.path), chunk.depth_R), chunk.depth_R)
        self.native = NativeLayout(chunk.tiles)
        self.pieces = PiecesLayout(chunk.tiles, device)


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
    how = (scaling, sliding_window, softcap)
    if flex_supports(query):
        key_1GKD, value_1GKD = keys.transpose(0, 1)[None], values.transpose(0, 1)[None]
        return flex_attend(forest.flex, query, key_1GKD, value_1GKD, *how, s_aux)[None], None
    if native.supports_attention(query[0], keys, values):
        out_RHD, lse_RH = native_attend(forest.native, query[0], keys, values, *how)
    else:
        out_RHD, lse_RH = attend_in_pieces(forest.pieces, query[0].transpose(0, 1), keys, values, *how)
    if s_aux is not None:  # a sink takes its share of the probability and gives nothing (GPT-OSS)
        out_RHD *= (1 / (1 + torch.exp(s_aux.to(lse_RH) - lse_RH)))[..., None].to(out_RHD)
    return out_RHD[None], None


AttentionInterface.register(NAME, forest_attention)
