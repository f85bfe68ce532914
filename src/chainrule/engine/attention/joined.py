"""Attention over several chunks in one run of the network, each below a path of its own.

The cache holds the paths of all chunks, one after another, then the rows of all chunks. The compiled kernel reads tables in
which the index of each key is that in this cache. Any other attention is called for each chunk.

Shapes: R rows of a chunk, P rows of its path, H heads, G key-value heads, D width of a head.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate

import numpy as np
import torch
from torch import Tensor

from chainrule._types import Ints
from chainrule.engine.attention.kv_cache import KVCache
from chainrule.engine.attention.layout import Layout, RowsLayout, ScoreOptions, with_sink
from chainrule.engine.attention.native import native_attend
from chainrule.forest.chunks import Chunk
from chainrule.ops import native


class JoinedLayout(RowsLayout):
    """The layouts of several chunks as one."""

    def __init__(self, chunks: Sequence[Chunk], cache: KVCache, device: torch.device) -> None:
        self._layouts = [Layout(chunk, cache, device) for chunk in chunks]
        self.path, self.rows, self.cache = sum(chunk.path for chunk in chunks), sum(map(len, chunks)), cache
        self.first_paths = list(accumulate((chunk.path for chunk in chunks), initial=0))[:-1]
        self.first_rows = list(accumulate(map(len, chunks), initial=0))[:-1]

    def attend(self, query_1HRD: Tensor, keys: Tensor, values: Tensor, options: ScoreOptions, sink_H: Tensor | None) -> Tensor:
        if native.supports_attention(query_1HRD[0], keys, values):
            out_RHD, lse_RH = native_attend(self, query_1HRD[0], keys, values, *options)
            return with_sink(out_RHD, lse_RH, sink_H)[None]
        parts = [
            layout.attend(query_1HRD[:, :, row : row + layout.rows], *self._own(index, keys, values), options, sink_H)
            for index, (layout, row) in enumerate(zip(self._layouts, self.first_rows, strict=True))
        ]
        return torch.cat(parts, 1)

    @cached_property
    def tables(self) -> tuple[Ints, Ints]:
        """As `NativeLayout.tables`."""
        tables, indices, length = [], [], 0
        for layout, path, row in zip(self._layouts, self.first_paths, self.first_rows, strict=True):
            table_B6, slots = layout.native.tables
            tables.append(table_B6 + np.array([row, 0, 0, length, 0, length]))
            joined = np.where(slots < layout.path, path + slots, self.path + row + slots - layout.path)
            indices.append(np.minimum(joined, self.path + self.rows - 1))  # a tile's list is longer than what is read of it
            length += len(slots)
        return np.concatenate(tables), np.concatenate(indices)

    def tasks(self, share: int) -> Ints:
        """As `NativeLayout.tasks`."""
        tasks, tiles = [], 0
        for layout in self._layouts:
            tasks.append(layout.native.tasks(share) + np.array([tiles, 0]))
            tiles += len(layout.native.tables[0])
        return np.concatenate(tasks)

    def _own(self, index: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """The keys and values of one chunk: those of its path, then of its rows."""
        layout, path, row = self._layouts[index], self.first_paths[index], self.path + self.first_rows[index]
        own = slice(path, path + layout.path), slice(row, row + layout.rows)
        return torch.cat([keys[each] for each in own]), torch.cat([values[each] for each in own])
