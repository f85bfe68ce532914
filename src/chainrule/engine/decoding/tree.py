"""The decoding tree of the forest strategy: one row per token; any node can be extended at any time.

The prefix is computed once, however many continuations it has. The keys and values of a new token are appended to the cache,
and its row attends to the keys of its own path by their indices. So a beam can drop branches, and a search can return to one,
without copying keys.

With few rows at a time, the bits of a row may depend on the other rows, and the continuations are scored again at the end.
With many rows they have the bits of scoring: padding costs little then, and scoring again would take a third of the time. A
stream has these bits with few rows too: a token that has been handed out cannot change.

Shapes: B rows added at a time, R rows, K keys of a path, H heads, G key-value heads, S heads of a group, D width of a head.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from chainrule._types import Ints
from chainrule.engine.attention.kv_cache import KVCache
from chainrule.engine.attention.layout import Layout, RowsLayout, ScoreOptions, with_sink
from chainrule.engine.attention.native import native_attend
from chainrule.engine.attention.sdpa import SDPALayout, sdpa_attend
from chainrule.engine.decoding.base import Feed, NextTokens, read_next
from chainrule.engine.engine import Engine
from chainrule.engine.execution import CachedPrefix, run_rows
from chainrule.forest.chunks import extension
from chainrule.ops import native
from chainrule.ops.matmul import usual_rows
from chainrule.ops.sealed import sealed
from chainrule.ops.transfer import sent


def token_feed(engine: Engine) -> Feed:
    """A feed of token ids. It raises ModelError for those that the network cannot take within a text."""

    def feed(token_B: Ints, depth_B: Ints) -> Tensor:
        engine.refuse_unfit(token_B)
        return engine.model.inputs(sent(token_B, engine.model.device))

    return feed


class ForestTree:
    """One row per token. The prefix has the bits of scoring.

    Continuations have them if `same_bits`, and the compiled kernel computes attention. Without it they have them if also
    `row_by_row`: each row then attends to a copy of the keys of its path, as a chunk of its own.
    """

    def __init__(
        self, engine: Engine, prefix: Sequence[int], feed: Feed, *, same_bits: bool = False, row_by_row: bool = False
    ) -> None:
        self.model, self.feed, self.prefix = engine.model, feed, list(prefix)
        self.same_bits, self.row_by_row = same_bits, row_by_row
        self.exact = True
        self._cache = KVCache(2 * len(self.prefix) + 64)
        self._path_N: list[Ints] = []  # for each node: the indices in the cache of the keys of its path, root first
        self._used = 0  # keys in the cache

    @property
    def cached_prefix(self) -> CachedPrefix:
        """For scoring the continuations: all rows of the prefix but the last. No nodes may be added afterwards."""
        return CachedPrefix(self._cache, len(self.prefix) - 1)

    def root(self) -> NextTokens:
        return self._root

    @cached_property
    @sealed
    def _root(self) -> NextTokens:
        hidden_RH, rows = None, usual_rows(self.model)
        while self._used < len(self.prefix):
            tokens = self.prefix[self._used : self._used + rows]
            chunk = extension(self._used, len(tokens))
            hidden_RH = self._run(Layout(chunk, self._cache, self.model.device), tokens, chunk.depth_R, same_bits=True)
        if hidden_RH is None:
            raise ValueError("a prefix needs at least one token")
        self._path_N.append(np.arange(self._used))
        return read_next(self.model, hidden_RH[-1:], [0], same_bits=True)

    @sealed
    def extend(self, parent_B: Sequence[int], token_B: Sequence[int]) -> NextTokens:
        first, key_B = len(self._path_N), self._used + np.arange(len(parent_B))
        self._path_N += [np.append(self._path_N[parent], key) for parent, key in zip(parent_B, key_B, strict=True)]
        layout = _PathsLayout(self._path_N[first:], self._used, self._cache, row_by_row=self.row_by_row)
        hidden_BH = self._run(layout, token_B, layout.depth_B, same_bits=self.same_bits)
        self.exact = self.exact and self.same_bits and layout.exact
        return read_next(self.model, hidden_BH, list(range(first, len(self._path_N))), same_bits=self.same_bits)

    def _run(self, layout: RowsLayout, tokens: Sequence[int], depth_R: Ints, *, same_bits: bool) -> Tensor:
        inputs_RD = self.feed(np.array(tokens, np.int64), depth_R)
        hidden_RH = run_rows(self.model, depth_R, layout, inputs_RD, same_bits=same_bits)
        self._used += layout.rows
        return hidden_RH


class _PathsLayout(RowsLayout):
    """Rows at the ends of paths whose keys are anywhere in the cache. A path is the indices of its keys, root first."""

    def __init__(self, path_B: list[Ints], used: int, cache: KVCache, *, row_by_row: bool = False) -> None:
        self.path, self.rows, self.cache, self.row_by_row = used, len(path_B), cache, row_by_row
        length_B = np.array([len(path) for path in path_B])
        self.depth_B, self._path_B = length_B - 1, path_B
        first_B, zero_B = np.arange(self.rows), np.zeros(self.rows, np.int64)
        table = (first_B, zero_B + 1, self.depth_B, zero_B, zero_B, np.cumsum(length_B) - length_B)
        self._table_B6 = np.stack(table, 1)  # tiles of one row each: see native.attention
        self._key_index = np.concatenate(path_B)
        self._sdpa: dict[int, SDPALayout] = {}  # of a single row, by its depth
        self.exact = True  # whether all layers used the attention kernel that scoring uses

    def attend(self, query_1HRD: Tensor, keys: Tensor, values: Tensor, options: ScoreOptions, sink_H: Tensor | None) -> Tensor:
        query_HRD = query_1HRD[0]
        if native.supports_attention(query_HRD, keys, values):
            out_RHD, lse_RH = native_attend(self, query_HRD, keys, values, *options)
        elif self.row_by_row:
            out_RHD, lse_RH = self._attend_row_by_row(query_HRD.transpose(0, 1), keys, values, options)
        else:
            self.exact = False
            key_BK, padding_BK = self._padded(keys.device)
            query_BHD = query_HRD.transpose(0, 1)
            out_RHD, lse_RH = attend_to_paths(query_BHD, keys[key_BK], values[key_BK], padding_BK, options)
        return with_sink(out_RHD, lse_RH, sink_H)[None]

    @property
    def tables(self) -> tuple[Ints, Ints]:
        """As `NativeLayout.tables`: each row is a tile of its own, and all keys of its path are near."""
        return self._table_B6, self._key_index

    def tasks(self, share: int) -> Ints:
        """As `NativeLayout.tasks`."""
        first_lanes = np.arange(0, share, native.queries())
        return np.stack([np.repeat(np.arange(self.rows), len(first_lanes)), np.tile(first_lanes, self.rows)], 1)

    def _attend_row_by_row(
        self, query_RHD: Tensor, keys: Tensor, values: Tensor, options: ScoreOptions
    ) -> tuple[Tensor, Tensor]:
        """Attention of each row as scoring computes it for a chunk of one row after its path."""
        rows = []
        for row, path in enumerate(self._path_B):
            of_path = sent(path, keys.device)
            layout = self._sdpa_of(len(path) - 1, keys.device)
            rows.append(sdpa_attend(layout, query_RHD[row : row + 1], keys[of_path], values[of_path], *options))
        out_RHD, lse_RH = (torch.cat(parts) for parts in zip(*rows, strict=True))
        return out_RHD, lse_RH

    def _sdpa_of(self, depth: int, device: torch.device) -> SDPALayout:
        if depth not in self._sdpa:
            self._sdpa[depth] = SDPALayout(extension(depth, 1).tiles, device)
        return self._sdpa[depth]

    def _padded(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """The key indices of all paths, left-padded, and whether each is padding: both B × K."""
        longest = int(self.depth_B.max()) + 1
        key_BK = np.stack([np.pad(path, (longest - len(path), 0)) for path in self._path_B])
        padding_BK = np.arange(longest) < (longest - 1 - self.depth_B)[:, None]
        return sent(key_BK, device), sent(padding_BK, device)


def attend_to_paths(
    query_BHD: Tensor, key_BKGD: Tensor, value_BKGD: Tensor, padding_BK: Tensor, options: ScoreOptions
) -> tuple[Tensor, Tensor]:
    """Attention of one query to the keys of each path: output B × H × D, and the log-sum-exp of the scores, B × H."""
    scaling, window, softcap = options
    wide = torch.promote_types(query_BHD.dtype, torch.float32)
    query_BGSD = query_BHD.unflatten(1, (key_BKGD.shape[2], -1)).to(wide)
    score_BGSK = torch.einsum("bgsd,bkgd->bgsk", query_BGSD, key_BKGD.to(wide))
    score_BGSK = score_BGSK * (query_BHD.shape[-1] ** -0.5 if scaling is None else scaling)
    if softcap:
        score_BGSK = softcap * torch.tanh(score_BGSK / softcap)
    score_BGSK = score_BGSK.masked_fill(padding_BK[:, None, None], -torch.inf)
    if window:
        score_BGSK, value_BKGD = score_BGSK[..., -window:], value_BKGD[:, -window:]
    lse_BGS = torch.logsumexp(score_BGSK, -1)
    weight_BGSK = torch.exp(score_BGSK - lse_BGS[..., None])
    out_BGSD = torch.einsum("bgsk,bkgd->bgsd", weight_BGSK, value_BKGD.to(wide)).to(query_BHD.dtype)
    return out_BGSD.flatten(1, 2), lse_BGS.flatten(1)
