"""Attention over a forest: key k is visible to query q ⇔ k ≤ q < end[k]  (sliding window: and depth[q] − depth[k] < W).

Registered with transformers under one name. The layout of the chunk at hand is known to it by itself (`Layout.at_hand`), since
not every architecture hands keyword arguments on to its attention. Between chunks the keys and values of the current
root-to-node path are carried, for each call of each layer.
Which of three ways attends is decided by what they support: a Triton kernel on a GPU, the compiled one, PyTorch's own kernels.

Shapes: R rows of the chunk, P rows of the path carried into it, K = P + R places, H heads, G key-value heads, D width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AttentionInterface

from chainrule.engine.attention.native import NativeLayout, native_attend
from chainrule.engine.attention.sdpa import PiecesLayout, attend_in_pieces
from chainrule.engine.attention.triton import TritonLayout, triton_attend
from chainrule.engine.attention.triton import supports as triton_supports
from chainrule.forest.chunks import Chunk
from chainrule.ops import native
from chainrule.ops.sealed import handed_down
from chainrule.ops.transfer import sent

T = TypeVar("T")

NAME = "chainrule_forest"
_HARMLESS = ("position_ids", "cache_position")  # they tell attention nothing; of any other tensor this cannot be known


class PathCarry:
    """Keys and values of the path above the current chunk, followed by the chunk's own: a pair of buffers for each call.

    Most layers attend once a chunk. One that attends twice (differential attention), or that runs again and again (loops
    over layers), has keys of its own each time.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity  # at first: the deepest path of the forest and one chunk; it grows where that is not enough
        self._calls: dict[tuple[nn.Module, int], tuple[Tensor, Tensor]] = {}
        self._count: Counter[nn.Module] = Counter()  # of the chunk that runs

    def extend(self, layer: nn.Module, key_1GRD: Tensor, value_1GRD: Tensor, path: int) -> tuple[Tensor, Tensor]:
        """Put the chunk's keys and values behind the path's; returns both, (P + R) × G × D."""
        call = (layer, self._count[layer])
        self._count[layer] += 1
        stop = path + key_1GRD.shape[2]
        if call not in self._calls:
            self._calls[call] = (self._buffer(key_1GRD), self._buffer(value_1GRD))
        elif stop > len(self._calls[call][0]):
            keys, values = self._calls[call]
            self._calls[call] = _longer(keys, path, 2 * stop), _longer(values, path, 2 * stop)
        buffers = self._calls[call]
        for buffer, fresh in zip(buffers, (key_1GRD, value_1GRD), strict=True):
            buffer[path:stop] = fresh[0].transpose(0, 1)
        return buffers[0][:stop], buffers[1][:stop]

    def stay(self) -> None:
        """The chunk has run; all of its keys and values stay where they are."""
        self._count.clear()

    def settle(self, chunk: Chunk) -> None:
        """Leave just the next chunk's path in the buffers. A path that simply grows stays where it is."""
        self.stay()
        stop, from_K = chunk.keep + len(chunk.carry), None
        place = chunk.path + chunk.carry
        if np.array_equal(place, np.arange(chunk.keep, stop)):
            return
        for buffers in self._calls.values():
            from_K = sent(place, buffers[0].device) if from_K is None else from_K
            for buffer in buffers:
                buffer[chunk.keep : stop] = buffer[from_K]

    def _buffer(self, like_1GRD: Tensor) -> Tensor:
        _, heads, _, width = like_1GRD.shape
        return like_1GRD.new_empty(self.capacity, heads, width)


def _longer(buffer: Tensor, used: int, size: int) -> Tensor:
    longer = buffer.new_empty(size, *buffer.shape[1:])
    longer[:used] = buffer[:used]
    return longer


How = tuple[float | None, int | None, float | None]  # scaling, sliding window, softcap


class RowsLayout(ABC):
    """Which keys each of the rows that run attends to: those it is behind, and its own."""

    path: int  # where the keys of these rows go, behind those that are there already
    rows: int
    carry: PathCarry

    @abstractmethod
    def attend(self, query_1HRD: Tensor, keys: Tensor, values: Tensor, how: How, sink_H: Tensor | None) -> Tensor:
        """What each row gathers, 1 × R × H × D, of keys and values K × G × D."""

    def at_hand(self, run: Callable[[], T]) -> T:
        """`run`, while the rows of this layout run."""
        return handed_down(_AT_HAND, self, run)


_AT_HAND: ContextVar[RowsLayout | None] = ContextVar("layout at hand", default=None)


class Layout(RowsLayout):
    """What the attention of every layer needs to know of the chunk of a forest that runs, for each of the ways."""

    def __init__(self, chunk: Chunk, carry: PathCarry, device: torch.device) -> None:
        self.path, self.rows, self.carry = chunk.path, len(chunk), carry
        self.triton = TritonLayout(chunk.path, chunk.end_K, chunk.depth_R)
        self.native = NativeLayout(chunk.tiles)
        self.pieces = PiecesLayout(chunk.tiles, device)

    def attend(self, query_1HRD: Tensor, keys: Tensor, values: Tensor, how: How, sink_H: Tensor | None) -> Tensor:
        if triton_supports(query_1HRD, values):
            return triton_attend(self.triton, query_1HRD, keys, values, *how, sink_H)[None]
        query_HRD = query_1HRD[0]
        if native.supports_attention(query_HRD, keys, values):
            found = native_attend(self.native, query_HRD, keys, values, *how)
        else:
            found = attend_in_pieces(self.pieces, query_HRD.transpose(0, 1), keys, values, *how)
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
    forest = _AT_HAND.get()
    if forest is None:
        raise TypeError(f"the attention {NAME!r} runs on the chunks of a forest only; there is none at hand")
    if unknown := [name for name, value in others.items() if name not in _HARMLESS and _says_something(value)]:
        raise TypeError(f"this architecture hands {', '.join(unknown)} to its attention, which may change what is seen")
    if attention_mask is not None:  # none was made for this attention, so it hides what the layout does not know of
        raise TypeError("this architecture has a mask of its own")
    if any((x.shape[0], x.shape[2]) != (1, forest.rows) for x in (query, key, value)):  # kernels trust the layout's numbers
        raise TypeError("this architecture attends to something else than the rows of the chunk")
    keys, values = forest.carry.extend(module, key, value, forest.path)
    return forest.attend(query, keys, values, (scaling, sliding_window, softcap), s_aux), None


def _says_something(value: Any) -> bool:
    """Tensors do, and numbers other than 0; no dropout, switches, and what is None do not."""
    return isinstance(value, Tensor) or (isinstance(value, int | float) and not isinstance(value, bool) and value != 0)


AttentionInterface.register(NAME, forest_attention)
