"""The tree of continuations on the forest strategy: one row a token, any node extended at any time.

The prefix goes through the network once, however many continuations it has. The keys and values of a new token are added
after all others, and its row attends to those of its own path by their places. So a beam drops branches and a search comes
back to one, and no key is copied. The bits of a row may depend on the rows beside it, and continuations are scored once more
in the end. With many rows at a time they get the bits of scoring at once: padding costs little then, and a scoring pass would
cost a third of the time.

Shapes: B rows that are added at a time, K places of keys, V vocabulary.
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
from chainrule.engine.decoding.base import Feed, NextTokens, read_next
from chainrule.engine.engine import Engine
from chainrule.engine.execution import Begun, run_rows
from chainrule.forest.chunks import extension
from chainrule.ops import native
from chainrule.ops.matmul import usual_rows
from chainrule.ops.sealed import sealed
from chainrule.ops.transfer import sent


def token_feed(engine: Engine) -> Feed:
    """Feeds a network with tokens. Raises ModelError for those that it must not be fed with."""

    def feed(token_B: Tensor, depth_B: Ints) -> Tensor:
        engine.refuse_unfit(token_B.numpy(force=True))
        return engine.model.inputs(token_B)

    return feed


class ForestTree:
    """One row a token. The prefix has the bits of scoring; continuations have them with `same_bits`."""

    def __init__(self, engine: Engine, prefix: Sequence[int], feed: Feed, *, same_bits: bool = False) -> None:
        self.model, self.feed, self.prefix, self.same_bits = engine.model, feed, list(prefix), same_bits
        self.exact = True
        self._carry = KVCache(2 * len(self.prefix) + 64)
        self._place_N: list[Ints] = []  # of every node: the places of the keys on its path
        self._used = 0  # places of keys so far

    @property
    def begun(self) -> Begun:
        """For scoring the continuations: all of the prefix but its last row. Nothing may be added after that."""
        return Begun(self._carry, len(self.prefix) - 1)

    def root(self) -> NextTokens:
        return self._root

    @cached_property
    @sealed
    def _root(self) -> NextTokens:
        hidden_RH, rows = None, usual_rows(self.model)
        while self._used < len(self.prefix):
            tokens = self.prefix[self._used : self._used + rows]
            chunk = extension(self._used, len(tokens))
            hidden_RH = self._run(Layout(chunk, self._carry, self.model.device), tokens, chunk.depth_R, same_bits=True)
        if hidden_RH is None:
            raise ValueError("a prefix holds one token at least")
        self._place_N.append(np.arange(self._used))
        return read_next(self.model, hidden_RH[-1:], [0], same_bits=True)

    @sealed
    def extend(self, parent_B: Sequence[int], token_B: Sequence[int]) -> NextTokens:
        first, fresh_B = len(self._place_N), self._used + np.arange(len(parent_B))
        self._place_N += [np.append(self._place_N[parent], at) for parent, at in zip(parent_B, fresh_B, strict=True)]
        layout = _Paths(self._place_N[first:], self._used, self._carry)
        hidden_BH = self._run(layout, token_B, layout.depth_B, same_bits=self.same_bits)
        self.exact = self.exact and self.same_bits and layout.exact
        return read_next(self.model, hidden_BH, list(range(first, len(self._place_N))), same_bits=self.same_bits)

    def _run(self, layout: RowsLayout, tokens: Sequence[int], depth_R: Ints, *, same_bits: bool) -> Tensor:
        inputs_RD = self.feed(torch.tensor(tokens, dtype=torch.int64, device=self.model.device), depth_R)
        hidden_RH = run_rows(self.model, depth_R, layout, inputs_RD, same_bits=same_bits)
        self._carry.keep_all()
        self._used += layout.rows
        return hidden_RH


class _Paths(RowsLayout):
    """Rows each at the end of a path whose keys lie anywhere: their places, root first, its own last."""

    def __init__(self, places: list[Ints], used: int, carry: KVCache) -> None:
        self.path, self.rows, self.cache = used, len(places), carry
        length_B = np.array([len(place) for place in places])
        self.depth_B, self._places = length_B - 1, places
        first_B, zero_B = np.arange(self.rows), np.zeros(self.rows, np.int64)
        table = (first_B, zero_B + 1, self.depth_B, zero_B, zero_B, np.cumsum(length_B) - length_B)
        self._table_B6 = np.stack(table, 1)  # tiles of one row each: see native.attention
        self._place = np.concatenate(places)
        self.exact = True  # whether each layer attended by the kernel that scoring uses

    def attend(self, query_1HRD: Tensor, keys: Tensor, values: Tensor, options: ScoreOptions, sink_H: Tensor | None) -> Tensor:
        query_HRD = query_1HRD[0]
        if native.supports_attention(query_HRD, keys, values):
            found = native_attend(self, query_HRD, keys, values, *options)
        else:
            self.exact = False
            place_BK, hidden_BK = self._padded(keys.device)
            found = attend_to_paths(query_HRD.transpose(0, 1), keys[place_BK], values[place_BK], hidden_BK, options)
        return with_sink(*found, sink_H)[None]

    @property
    def tables(self) -> tuple[Ints, Ints]:
        """As `NativeLayout.tables`: each row is a tile of its own, and its path all near."""
        return self._table_B6, self._place

    def tasks(self, share: int) -> Ints:
        """As `NativeLayout.tasks`."""
        first_lanes = np.arange(0, share, native.queries())
        return np.stack([np.repeat(np.arange(self.rows), len(first_lanes)), np.tile(first_lanes, self.rows)], 1)

    def _padded(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """The places of every path, those of shorter ones padded in front, and which places are padding."""
        longest = int(self.depth_B.max()) + 1
        place_BK = np.stack([np.pad(place, (longest - len(place), 0)) for place in self._places])
        hidden_BK = np.arange(longest) < (longest - 1 - self.depth_B)[:, None]
        return sent(place_BK, device), sent(hidden_BK, device)


def attend_to_paths(
    query_BHD: Tensor, key_BKGD: Tensor, value_BKGD: Tensor, hidden_BK: Tensor, how: ScoreOptions
) -> tuple[Tensor, Tensor]:
    """One query each on the keys of its path, written out: gathered values B × H × D, scores' log-sum-exp B × H."""
    scaling, window, softcap = how
    wide = torch.promote_types(query_BHD.dtype, torch.float32)
    query_BGSD = query_BHD.unflatten(1, (key_BKGD.shape[2], -1)).to(wide)
    score_BGSK = torch.einsum("bgsd,bkgd->bgsk", query_BGSD, key_BKGD.to(wide))
    score_BGSK = score_BGSK * (query_BHD.shape[-1] ** -0.5 if scaling is None else scaling)
    if softcap:
        score_BGSK = softcap * torch.tanh(score_BGSK / softcap)
    score_BGSK = score_BGSK.masked_fill(hidden_BK[:, None, None], -torch.inf)
    if window:
        score_BGSK, value_BKGD = score_BGSK[..., -window:], value_BKGD[:, -window:]
    lse_BGS = torch.logsumexp(score_BGSK, -1)
    weight_BGSK = torch.exp(score_BGSK - lse_BGS[..., None])
    out_BGSD = torch.einsum("bgsk,bkgd->bgsd", weight_BGSK, value_BKGD.to(wide)).to(query_BHD.dtype)
    return out_BGSD.flatten(1, 2), lse_BGS.flatten(1)
