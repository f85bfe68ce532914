"""A forest that grows: any number of continuations of one beginning, each of which may be extended at any time.

What is given goes through the network once, however many grow from it. A token that is added costs one row: its keys and
values go behind all others, and the row attends to those of its own path by their places. So a beam changes its mind, and a
search leaves a branch and takes it up again, without a key being copied. Bits of a row may depend here on what grows beside
it, and what is grown is scored once more in the end. Where many rows grow at a time they are given the bits of scoring
instead: padding costs little then, and a scoring pass would cost a third of the time.

Shapes: B rows that grow at a time, K places of keys, V vocabulary.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from chainrule._types import Ints
from chainrule.engine.attention.kv_cache import KVCache
from chainrule.engine.attention.layout import Layout, RowsLayout, ScoreOptions, with_sink
from chainrule.engine.attention.native import native_attend
from chainrule.engine.engine import Engine, refuse_nan
from chainrule.engine.execution import Begun, run_rows
from chainrule.engine.head.readout import STEP, Distributions
from chainrule.forest.chunks import extension
from chainrule.models.base import Model
from chainrule.ops import native
from chainrule.ops.matmul import usual_rows
from chainrule.ops.sealed import sealed
from chainrule.ops.transfer import sent

MANY = 8  # rows from which it costs less to give them the bits of scoring at once than to score them again

Feed = Callable[[Tensor, Ints], Tensor]  # tokens, and how many stand before each on its path → what the network takes


@dataclass(frozen=True)
class Grown:
    """Nodes that were added, and the distribution of what comes behind each."""

    nodes: list[int]
    logits_BV: Tensor
    logsumexp_B: Tensor  # float64
    entropy_B: Tensor

    def logprobs(self, row: int) -> Tensor:
        """log Pr(v | the path of node `row`), V in float64."""
        return self.logits_BV[row].double() - self.logsumexp_B[row]

    def rank(self, row: int, token: int) -> int:
        """1 for the most probable token behind node `row`: one more than the tokens that are more probable."""
        return 1 + int((self.logits_BV[row] > self.logits_BV[row, token]).sum())


class Grove(Protocol):
    """Continuations of one beginning. Nodes are numbered as they come; node 0 is the end of what is given."""

    exact: bool  # whether all that was grown so far has the bits that scoring gives

    def begin(self) -> Grown:
        """The distribution behind what is given; the same however often it is asked for."""
        ...

    def grow(self, parent_B: Sequence[int], token_B: Sequence[int]) -> Grown:
        """Add token_B[b] behind node parent_B[b], for every b. Raises ModelError where there is NaN."""
        ...


def grove_of(engine: Engine, given: Sequence[int], placed: Feed | None = None, rows: int = 1) -> Grove:
    """What grows behind the ids `given` (one at least) under a causal model, about `rows` rows at a time."""
    inputs = placed or (lambda token_B, depth_B: engine.model.inputs(token_B))

    def feed(token_B: Tensor, depth_B: Ints) -> Tensor:
        engine.refuse_unfit(token_B.numpy(force=True))
        return inputs(token_B, depth_B)

    if engine.path != "forest":
        return RerunGrove(engine, given, feed)
    return ForestGrove(engine, given, feed, same_bits=rows >= MANY and bool(engine.invariance))


class ForestGrove:
    """On the forest path: one row a token. What is given has the bits of scoring; what grows has them with `same_bits`."""

    def __init__(self, engine: Engine, given: Sequence[int], feed: Feed, *, same_bits: bool = False) -> None:
        self.model, self.feed, self.given, self.same_bits = engine.model, feed, list(given), same_bits
        self.exact = True
        self._carry = KVCache(2 * len(self.given) + 64)
        self._place_N: list[Ints] = []  # of every node: the places of the keys on its path
        self._used = 0  # places of keys so far

    @property
    def begun(self) -> Begun:
        """For scoring what was grown: all of what is given but its last row. Nothing may grow after that."""
        return Begun(self._carry, len(self.given) - 1)

    def begin(self) -> Grown:
        return self._begun

    @cached_property
    @sealed
    def _begun(self) -> Grown:
        hidden_RH, rows = None, usual_rows(self.model)
        while self._used < len(self.given):
            tokens = self.given[self._used : self._used + rows]
            chunk = extension(self._used, len(tokens))
            hidden_RH = self._run(Layout(chunk, self._carry, self.model.device), tokens, chunk.depth_R, same_bits=True)
        assert hidden_RH is not None, "something is given"
        self._place_N.append(np.arange(self._used))
        return _read(self.model, hidden_RH[-1:], [0], same_bits=True)

    @sealed
    def grow(self, parent_B: Sequence[int], token_B: Sequence[int]) -> Grown:
        first, fresh_B = len(self._place_N), self._used + np.arange(len(parent_B))
        self._place_N += [np.append(self._place_N[parent], at) for parent, at in zip(parent_B, fresh_B, strict=True)]
        layout = _Paths(self._place_N[first:], self._used, self._carry)
        hidden_BH = self._run(layout, token_B, layout.depth_B, same_bits=self.same_bits)
        self.exact = self.exact and self.same_bits and layout.exact
        return _read(self.model, hidden_BH, list(range(first, len(self._place_N))), same_bits=self.same_bits)

    def _run(self, layout: RowsLayout, tokens: Sequence[int], depth_R: Ints, *, same_bits: bool) -> Tensor:
        inputs_RD = self.feed(torch.tensor(tokens, dtype=torch.int64, device=self.model.device), depth_R)
        hidden_RH = run_rows(self.model, depth_R, layout, inputs_RD, same_bits=same_bits)
        self._carry.keep_all()
        self._used += layout.rows
        return hidden_RH


class PathGrove(ABC):
    """Where no keys are carried: each node is known by the tokens behind the beginning, and asked for anew."""

    exact = False

    def __init__(self) -> None:
        self._ids_N: list[tuple[int, ...]] = [()]

    def begin(self) -> Grown:
        return self._begun

    @cached_property
    def _begun(self) -> Grown:
        return self._at([0])

    def grow(self, parent_B: Sequence[int], token_B: Sequence[int]) -> Grown:
        first = len(self._ids_N)
        self._ids_N += [(*self._ids_N[parent], token) for parent, token in zip(parent_B, token_B, strict=True)]
        return self._at(list(range(first, len(self._ids_N))))

    @abstractmethod
    def _at(self, nodes: list[int]) -> Grown: ...


class RerunGrove(PathGrove):
    """Where only the model's own forward can be run: every path again from its beginning."""

    def __init__(self, engine: Engine, given: Sequence[int], feed: Feed) -> None:
        super().__init__()
        self.model, self.feed, self.padded, self.given = engine.model, feed, engine.path == "batch", tuple(given)

    @sealed
    def _at(self, nodes: list[int]) -> Grown:
        hidden: dict[int, Tensor] = {}
        path = {node: (*self.given, *self._ids_N[node]) for node in nodes}
        for length in sorted(set(map(len, path.values()))):
            alike = [node for node in nodes if len(path[node]) == length]
            count = max(1, usual_rows(self.model) // length) if self.padded else 1
            for some in (alike[i : i + count] for i in range(0, len(alike), count)):
                ids_BT = torch.tensor([path[node] for node in some], dtype=torch.int64, device=self.model.device)
                depth_BT = np.tile(np.arange(length), len(some))
                inputs_BTD = self.feed(ids_BT.reshape(-1), depth_BT).unflatten(0, ids_BT.shape)
                hidden |= zip(some, self.model.hidden(inputs_BTD, same_bits=False)[:, -1], strict=True)
        return _read(self.model, torch.stack([hidden[node] for node in nodes]), nodes, same_bits=False)


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


def _read(model: Model, hidden_BH: Tensor, nodes: list[int], *, same_bits: bool) -> Grown:
    head, rows = model.head, len(hidden_BH)
    room_MV = torch.empty(rows + STEP, head.size, dtype=head.dtype, device=hidden_BH.device)
    at = Distributions.at(head, hidden_BH, room_MV, same_bits=same_bits)
    refuse_nan(at.logsumexp_M[:rows].numpy(force=True), model.name)
    return Grown(nodes, at.logits_MV[:rows], at.logsumexp_M[:rows], at.entropy_M[:rows])
