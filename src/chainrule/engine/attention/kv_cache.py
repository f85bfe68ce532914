"""Keys and values of the current root-to-node path, kept from one chunk of a forest to the next.

Shapes: R rows of the chunk, P rows of the path above it, G key-value heads, D width of a head.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from torch import Tensor, nn

from chainrule.forest.chunks import Chunk
from chainrule.ops.transfer import sent


class KVCache:
    """Keys and values of the path above the current chunk, then those of the chunk: a pair of buffers for each attention call.

    Most layers attend once per chunk. A layer that attends twice (differential attention), or that runs repeatedly (loops
    over layers), has its own keys and values for each call.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity  # initial rows of a buffer: the deepest path of the forest plus one chunk; it can grow
        self._buffers: dict[tuple[nn.Module, int], tuple[Tensor, Tensor]] = {}
        self._calls: Counter[nn.Module] = Counter()  # attention calls of each layer in the current chunk

    def extend(self, layer: nn.Module, key_1GRD: Tensor, value_1GRD: Tensor, path: int) -> tuple[Tensor, Tensor]:
        """Append the chunk's keys and values to the first `path` rows. Returns keys and values, each (P + R) × G × D."""
        call = (layer, self._calls[layer])
        self._calls[layer] += 1
        stop = path + key_1GRD.shape[2]
        if call not in self._buffers:
            self._buffers[call] = (self._allocate(key_1GRD, stop), self._allocate(value_1GRD, stop))
        elif stop > len(self._buffers[call][0]):
            keys, values = self._buffers[call]
            self._buffers[call] = _enlarge(keys, path, 2 * stop), _enlarge(values, path, 2 * stop)
        buffers = self._buffers[call]
        for buffer, new in zip(buffers, (key_1GRD, value_1GRD), strict=True):
            buffer[path:stop] = new[0].transpose(0, 1)
        return buffers[0][:stop], buffers[1][:stop]

    def keep_all(self) -> None:
        """End the chunk and keep all of its keys and values where they are."""
        self._calls.clear()

    def keep_path(self, chunk: Chunk) -> None:
        """End the chunk and keep only the next chunk's path. A path that only grows is not copied."""
        self.keep_all()
        stop, source = chunk.keep + len(chunk.carry), None
        rows = chunk.path + chunk.carry
        if np.array_equal(rows, np.arange(chunk.keep, stop)):
            return
        for buffers in self._buffers.values():
            source = sent(rows, buffers[0].device) if source is None else source
            for buffer in buffers:
                buffer[chunk.keep : stop] = buffer[source]

    def _allocate(self, like_1GRD: Tensor, least: int) -> Tensor:
        _, heads, _, width = like_1GRD.shape
        return like_1GRD.new_empty(max(self.capacity, least), heads, width)


def _enlarge(buffer: Tensor, used: int, size: int) -> Tensor:
    """A buffer of `size` rows that begins with the first `used` rows of this one."""
    larger = buffer.new_empty(size, *buffer.shape[1:])
    larger[:used] = buffer[:used]
    return larger
