"""Attention over a forest: key k is visible to query q ⇔ k ≤ q < end[k]  (sliding window: and depth[q] − depth[k] < W).

`forest_attention` is registered with transformers. It reads the layout of the current chunk from a context variable
(`RowsLayout.as_current`), since not every architecture passes keyword arguments on to its attention. The keys and values of
the current root-to-node path are cached between chunks, separately for each attention call of each layer (`kv_cache`).
Three implementations are tried in order, and the first that supports the tensors is used: a Triton kernel on a GPU, the
compiled kernel, PyTorch's own kernels.

Shapes: R rows of the chunk, P rows of the cached path, K = P + R keys, H heads, G key-value heads, D width of a head.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
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
from chainrule.ops.sealed import guarded, with_variable
from chainrule.ops.workers import stop_if_asked

T = TypeVar("T")

NAME = "chainrule_forest"
_HARMLESS = ("position_ids", "cache_position")  # known not to affect attention; any other tensor might


ScoreOptions = tuple[float | None, int | None, float | None]  # scaling, sliding window, softcap of attention scores


class RowsLayout(ABC):
    """Which keys each row of a forward pass attends to: those of its ancestors, and its own."""

    path: int  # keys in the cache before those of these rows
    rows: int
    cache: KVCache
    calls: Counter[nn.Module]  # how many times each layer has attended in the current run

    @abstractmethod
    def attend(self, query_1HRD: Tensor, keys: Tensor, values: Tensor, options: ScoreOptions, sink_H: Tensor | None) -> Tensor:
        """The attention output of each row, 1 × R × H × D, over keys and values K × G × D."""

    def as_current(self, run: Callable[[], T]) -> T:
        """Call `run` with this layout as the current one, which `forest_attention` reads. Returns the result of `run`."""
        self.calls = Counter()
        return with_variable(_CURRENT, self, run)


_CURRENT: ContextVar[RowsLayout | None] = ContextVar("current layout", default=None)


class Layout(RowsLayout):
    """The layout of one chunk of a forest, in the form that each implementation of attention needs; shared by all layers."""

    def __init__(self, chunk: Chunk, cache: KVCache, device: torch.device) -> None:
        self.path, self.rows, self.cache = chunk.path, len(chunk), cache
        self.triton = TritonLayout(chunk.path, chunk.end_K, chunk.depth_R)
        self.native = NativeLayout(chunk.tiles)
        self.sdpa = SDPALayout(chunk.tiles, device)

    def attend(self, query_1HRD: Tensor, keys: Tensor, values: Tensor, options: ScoreOptions, sink_H: Tensor | None) -> Tensor:
        if triton_supports(query_1HRD, values):
            return triton_attend(self.triton, query_1HRD, keys, values, *options, sink_H)[None]
        query_HRD = query_1HRD[0]
        if native.supports_attention(query_HRD, keys, values):
            out_RHD, lse_RH = native_attend(self.native, query_HRD, keys, values, *options)
        else:
            out_RHD, lse_RH = sdpa_attend(self.sdpa, query_HRD.transpose(0, 1), keys, values, *options)
        return with_sink(out_RHD, lse_RH, sink_H)[None]


def with_sink(out_RHD: Tensor, lse_RH: Tensor, sink_H: Tensor | None) -> Tensor:
    """The output scaled for an attention sink, which takes part of the probability and adds nothing (GPT-OSS)."""
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
    """One layer's attention for one chunk, with the signature that transformers calls. Returns 1 × R × H × D.

    Raises TypeError where the architecture passes anything that could change which keys are visible.
    """
    layout = _CURRENT.get()
    if layout is None:
        raise TypeError(f"the attention {NAME!r} runs on chunks of a forest only, and there is no current layout")
    if unknown := [name for name, value in others.items() if name not in _HARMLESS and _has_effect(value)]:
        raise TypeError(
            f"this architecture passes {', '.join(unknown)} to its attention, and that may change which keys are visible"
        )
    if attention_mask is not None:  # transformers builds none for this attention, so it hides keys that the layout shows
        raise TypeError("this architecture has a mask of its own")
    if any((x.shape[0], x.shape[2]) != (1, layout.rows) for x in (query, key, value)):  # kernels do not check row numbers
        raise TypeError("this architecture attends to something other than the rows of the chunk")
    stop_if_asked()
    keys, values = layout.cache.extend((module, layout.calls[module]), key, value, layout.path)
    layout.calls[module] += 1
    attend = partial(layout.attend, query, keys, values, (scaling, sliding_window, softcap), s_aux)
    if query.device.type != "cpu":  # the mode for the network's functions would check each of our indices, and wait for it
        return guarded(torch._C.DisableTorchFunction, attend), None
    return attend(), None


def _has_effect(value: Any) -> bool:
    """Whether an extra argument may change attention: tensors, and numbers other than 0 (no dropout); not flags or None."""
    return isinstance(value, Tensor) or (isinstance(value, int | float) and not isinstance(value, bool) and value != 0)


AttentionInterface.register(NAME, forest_attention)
