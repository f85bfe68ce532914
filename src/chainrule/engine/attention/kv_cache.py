"""Keys and values of the current root-to-node path, kept from one chunk of a forest to the next.

Shapes: R rows of the chunk, P rows of the path above it, G key-value heads, D width of a head.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor, nn

from chainrule._types import Ints
from chainrule.forest.chunks import Chunk
from chainrule.ops.transfer import sent
from chainrule.ops.workers import stop_if_asked

Call = tuple[nn.Module, int]  # a layer, and how many times it has attended in this chunk before
Kept = tuple[Mapping[Call, tuple[Tensor, Tensor]], int]  # keys and values of rows computed earlier, and how many to use

PAUSE = 1e-4  # seconds between two looks at what another thread has written. A layer takes some hundred times as long


class KVCache:
    """Keys and values of the path above the current chunk, then those of the chunk: a pair of buffers for each attention call.

    Most layers attend once per chunk. A layer that attends twice (differential attention), or that runs repeatedly (loops
    over layers), has its own keys and values for each call.

    Several threads may compute segments of one path at the same time. A layer of a segment then waits until the same layer of
    the segment above has written its keys and values.
    """

    def __init__(self, capacity: int, segments: int = 1, above: Sequence[Kept] = ()) -> None:
        """capacity: initial rows of a buffer, the deepest path of the forest plus one chunk. It can grow, if only one thread
        uses it. segments: of one path, each computed by one thread, which then calls `release`. above: the first rows of the
        path, which are copied into each buffer when it is first used."""
        self.capacity, self._above = capacity, above
        self._unfinished = [True] * segments
        self._buffers: dict[Call, tuple[Tensor, Tensor]] = {}
        self._written: dict[Call, int] = {}  # the number of first rows of the buffers that hold keys and values

    def extend(self, call: Call, key_1GRD: Tensor, value_1GRD: Tensor, path: int) -> tuple[Tensor, Tensor]:
        """Append the chunk's keys and values to the first `path` rows. Returns keys and values, each (P + R) × G × D.

        Raises TypeError if the call was not made for the rows of the path.
        """
        copied = sum(rows for _, rows in self._above)
        alone = len(self._unfinished) <= 1  # asked first: the thread of the segment above writes, then ends
        while self._written.get(call, copied) < path:
            if alone:
                raise TypeError("this architecture attends in some chunks more often than in others")
            _pause()
            alone = len(self._unfinished) <= 1
        stop = path + key_1GRD.shape[2]
        if call not in self._buffers:
            self._buffers[call] = self._begun(call, (self._allocate(key_1GRD, stop), self._allocate(value_1GRD, stop)))
        elif stop > len(self._buffers[call][0]):
            keys, values = self._buffers[call]
            self._buffers[call] = _enlarge(keys, path, 2 * stop), _enlarge(values, path, 2 * stop)
        buffers = self._buffers[call]
        for buffer, new in zip(buffers, (key_1GRD, value_1GRD), strict=True):
            buffer[path:stop] = new[0].transpose(0, 1)
        self._written[call] = stop
        return buffers[0][:stop], buffers[1][:stop]

    def _begun(self, call: Call, buffers: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """New buffers, with the rows computed earlier."""
        first = 0
        for kept, rows in self._above:
            if call not in kept:
                raise TypeError("this architecture attends in some chunks more often than in others")
            for buffer, old in zip(buffers, kept[call], strict=True):
                buffer[first : first + rows] = old[:rows]
            first += rows
        return buffers

    def rows(self, row_X: Ints) -> dict[Call, tuple[Tensor, Tensor]]:
        """Copies of the keys and values of these rows, for each call."""
        index_X, copies = None, {}
        for call, (keys, values) in self._buffers.items():
            index_X = sent(row_X, keys.device) if index_X is None else index_X
            copies[call] = keys[index_X], values[index_X]
        return copies

    def keep_path(self, chunk: Chunk) -> None:
        """After a chunk, keep only the next chunk's path. A path that only grows is not copied."""
        stop, source = chunk.keep + len(chunk.carry), None
        while stop < chunk.path + len(chunk) and len(self._unfinished) > 1:  # others still read rows that will be replaced
            _pause()
        rows = chunk.path + chunk.carry
        if np.array_equal(rows, np.arange(chunk.keep, stop)):
            return
        for buffers in self._buffers.values():
            source = sent(rows, buffers[0].device) if source is None else source
            for buffer in buffers:
                buffer[chunk.keep : stop] = buffer[source]

    def release(self) -> None:
        """A segment is finished. After the last one, the memory is free."""
        self._unfinished.pop()
        if not self._unfinished:
            self._buffers.clear()
            self._above = ()

    def _allocate(self, like_1GRD: Tensor, least: int) -> Tensor:
        _, heads, _, width = like_1GRD.shape
        return like_1GRD.new_empty(max(self.capacity, least), heads, width)


def _pause() -> None:
    stop_if_asked()
    time.sleep(PAUSE)


def _enlarge(buffer: Tensor, used: int, size: int) -> Tensor:
    """A buffer of `size` rows that begins with the first `used` rows of this one."""
    larger = buffer.new_empty(size, *buffer.shape[1:])
    larger[:used] = buffer[:used]
    return larger
