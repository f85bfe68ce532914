"""Attention over a forest: key k is visible to query q ⇔ k ≤ q < end[k]  (sliding window: and depth[q] − depth[k] < W).

Registered with transformers under one name. The layout of the chunk at hand is known to it by itself (`Layout.as_current`), since
not every architecture hands keyword arguments on to its attention. Between chunks the keys and values of the current
root-to-node path are carried, for each call of each layer.
Which of three ways attends is decided by what they support: a Triton kernel on a GPU, the compiled one, PyTorch's own kernels.

Shapes: R rows of the chunk, P rows of the path carried into it, K = P + R places, H heads, G key-value heads, D width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from transformers import AttentionInterface

from chainrule.engine.attention.kv_cache import KVCache
from chainrule.engine.attention.native import NativeLayout, native_attend
from chainrule.engine.attention.sdpa import SDPALayout, sdpa_attend
from chainrule.engine.attention.triton import TritonLayout, triton_attend
from chainrule.engine.attention.triton import supports as triton_supports
from chainrule.forest.chunks import Chunk
from chainrule.ops import native
from chainrule.ops.sealed import handed_down

T = TypeVar("T")

NAME = "chainrule_forest"
_HARMLESS = ("position_ids", "cache_position")  # they tell attention nothing; of any other tensor this cannot be known


ScoreOptions = tuple[float | None, int | None, float | None]  # scaling, sliding window, softcap


class RowsLayout(ABC):
    """Which keys each of the rows that run attends to: those it is behind, and its own."""

    path: int  # where the keys of these rows go, behind those that are there already
    rows: int
    cache: KVCache

    @abstractmethod
    def attend(self, query_1HRD: Tensor, keys: Tensor, values: Tensor, how: ScoreOptions, sink_H: Tensor | None) -> Tensor:
        """What each row gathers, 1 × R × H × D, of keys and values K × G × D."""

    def as_current(self, run: Callable[[], T]) -> T:
        """`run`, while the rows of this layout run."""
        return handed_down(_CURRENT, self, run)


_CURRENT: ContextVar[RowsLayout | None] = ContextVar("layout at hand", default=None)


class Layout(RowsLayout):
    """What the attention of every layer needs to know of the chunk of a forest that runs, for each of the ways."""

    def __init__(self, chunk: Chunk, cache: KVCache, device: torch.device) -> None:
        self.path, self.rows, self.cache = chunk.path, len(chunk), cache
        self.triton = TritonLayout(chunk.path, chunk.end_K, chunk.depth_R)
        self.native = NativeLayout(chunk.tiles)
        self.sdpa = SDPALayout(chunk.tiles, device)

    def attend(self, query_1HRD: Tensor, keys: Tensor, values: Tensor, how: ScoreOptions, sink_H: Tensor | None) -> Tensor:
        if triton_supports(query_1HRD, values):
            return triton_attend(self.triton, query_1HRD, keys, values, *how, sink_H)[None]
        query_HRD = query_1HRD[0]
        if native.supports_attention(query_HRD, keys, values):
            found = native_attend(self.native, query_HRD, keys, values, *how)
        else:
            found = sdpa_attend(self.sdpa, query_HRD.transpose(0, 1), keys, values, *how)
        return with_sink(*found, sink_H)[None]


def with_sink(out_RHD: Tensor, lse_RH: Tensor, sink_H: Tensor | None) -> Tensor:
    """A sink takes its share of the probability and gives nothing (GPT-OSS)."""
    if sink_H is not None:
        out_RHD *= (1 / (1 + torch.exp(sink_H.to(lse_RH) - lse_RH)))[..., None].to(out_RHD)
    return out_RHD


def forest_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """One layer's attention for one chunk, in transformers' own signature. Returns 1 × R × H × D."""
    forest = _CURRENT.get()
    if forest is None:
        raise TypeError(f"the attention {NAME!r} runs on the chunks of a forest only; there is none at hand")
    if unknown := [name for name, value in others.items() if name not in _HARMLESS and _says_something(value)]:
        raise TypeError(f"this architecture hands {', '.join(unknown)} to its attention, which may change what is seen")
    if attention_mask is not None:  # none was made for this attention, so it hides what the layout does not know of
        raise TypeError("this architecture has a mask of its own")
    if any((x.shape[0], x.shape[2]) != (1, forest.rows) for x in (query, key, value)):  # kernels trust the layout's numbers
        raise TypeError("this architecture attends to something else than the rows of the chunk")
    keys, values = forest.cache.extend(module, key, value, forest.path)
    return forest.attend(query, keys, values, (scaling, sliding_window, softcap), s_aux), None


def _says_something(value: Any) -> bool:
    """Tensors do, and numbers other than 0; no dropout, switches, and what is None do not."""
    return isinstance(value, Tensor) or (isinstance(value, int | float) and not isinstance(value, bool) and value != 0)


AttentionInterface.register(NAME, forest_attention)
