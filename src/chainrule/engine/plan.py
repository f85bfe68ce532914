"""From items to a question for the engine, and from the nodes of its answer back to the tokens of the items.

Shapes: S items, W windows of all items, B tokens of all items, L symbols of all windows, start symbols included, T tokens to
score, N nodes of the forest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from chainrule._checks import is_whole
from chainrule._types import Bools, Ints
from chainrule.engine.head.asked import AskedTokens
from chainrule.engine.inputs.node_inputs import Alphabet, Tokens, TokensAndEmbeddings
from chainrule.engine.question import Item, Question
from chainrule.errors import InputError, short
from chainrule.forest.forest import Forest, offsets, ranges
from chainrule.forest.windows import windows

_NO_START = -1
_LONGEST = 1 << 31  # embeddings; no text is as long


@dataclass(frozen=True)
class Job:
    """A question, and the node that holds the factor of each token to score."""

    question: Question
    node_T: Ints
    windows_S: Ints  # the number of windows that each item is scored in
    order_X: Ints  # of the asked tokens of all items, as they are in the question

    @property
    def context_T(self) -> Ints:
        """The number of embeddings in the context of each factor, start symbol included."""
        return self.question.forest.depth_N[self.node_T]


def plan(items: Sequence[Item], max_rows: int | None, window: int | bool | None, stride: int | None) -> Job:
    """Lay the items out as one forest. Items longer than a window are cut into windows.

    window: the most embeddings in a context (None: the model's own limit; False: refuse longer items). stride: the number of
    tokens that each window after the first scores (None: half a window). Raises InputError for items that cannot be scored.
    """
    rows, stride = rows_and_stride(max_rows, window, stride)
    table = _Table.of(items)
    cuts = table.cut(rows, stride, refuse=window is False or rows == 1)
    symbol_L, offset_W1 = table.sequences(cuts)
    forest = Forest.lay_out(symbol_L, offset_W1)
    own_W = cuts.stop_W - cuts.first_W  # a window's own factors are the last ones of its sequence
    node_T = forest.path_T[ranges(offset_W1[1:] - own_W, own_W)]
    wanted_N = np.zeros(len(forest), bool)
    wanted_N[node_T] = True
    asked = AskedTokens.concatenate([item.asked for item in items], np.array([item.factors for item in items], np.int64))
    asked, order_X = asked.renumbered(node_T)
    question = Question(forest, wanted_N, _alphabet(items), asked)
    return Job(question, node_T, np.bincount(cuts.item_W, minlength=len(items)), order_X)


def _alphabet(items: Sequence[Item]) -> Alphabet:
    pairs = [(item.embeddings, item.ids) for item in items if item.embeddings is not None]
    if not pairs:
        return Tokens()
    return TokensAndEmbeddings(torch.cat([embeddings for embeddings, _ in pairs]), np.concatenate([ids for _, ids in pairs]))


class _Cuts(NamedTuple):
    """The windows of all items, in order: the tokens [begin, stop) of an item, for the factors of [first, stop)."""

    item_W: Ints
    begin_W: Ints
    first_W: Ints
    stop_W: Ints


class _Table(NamedTuple):
    """All items, column by column."""

    symbol_B: Ints  # the tokens of all items; each embedding passed in place of a token has its own symbol below 0
    length_S: Ints
    start_S: Ints  # the start symbol, or _NO_START
    first_S: Ints  # the first token that has a factor

    @classmethod
    def of(cls, items: Sequence[Item]) -> _Table:
        length_S = np.array([len(item.ids) for item in items], np.int64)
        start_S = np.array([_NO_START if item.start_id is None else item.start_id for item in items], np.int64)
        given_S = np.array([item.given for item in items], np.int64)
        symbol_B = np.concatenate([item.ids for item in items] or [np.zeros(0, np.int64)])
        own_B = np.repeat(np.array([item.embeddings is not None for item in items], bool), length_S)
        symbol_B[own_B] = -1 - np.arange(np.count_nonzero(own_B))
        return cls(symbol_B, length_S, start_S, np.maximum(given_S, start_S == _NO_START))

    def cut(self, rows: int | None, stride: int, *, refuse: bool) -> _Cuts:
        """Windows of at most `rows` embeddings. Most items fit in one; only the longer ones are cut one by one."""
        no_start_S = self.start_S == _NO_START
        long_S = np.zeros(len(no_start_S), bool) if rows is None else self.length_S > rows + no_start_S
        self._check(long_S & refuse, rows)
        long = zip(self.first_S[long_S].tolist(), self.length_S[long_S].tolist(), no_start_S[long_S].tolist(), strict=True)
        windows_of = [windows(first, length, rows or 0, stride, not no_start) for first, length, no_start in long]
        count_S = np.ones(len(long_S), np.int64)
        count_S[long_S] = [len(cuts) for cuts in windows_of]
        item_W = np.repeat(np.arange(len(long_S)), count_S)
        cuts = _Cuts(item_W, np.zeros_like(item_W), self.first_S[item_W], self.length_S[item_W])
        for column_W, values in zip(cuts[1:], zip(*chain.from_iterable(windows_of), strict=True), strict=False):
            column_W[long_S[item_W]] = values
        return cuts

    def _check(self, refused_S: Bools, rows: int | None) -> None:
        """Raises InputError for the first item that has no factor, or that is refused as longer than `rows`."""
        empty_S = self.first_S >= self.length_S
        wrong = np.flatnonzero(empty_S | refused_S)
        if not len(wrong):
            return
        item = int(wrong[0])
        if empty_S[item]:
            raise InputError(
                "a single token with a given start has no factor, so there is nothing to score; "
                "use a start symbol (start='bos', 'eos' or a token id), or a longer text",
                item,
            )
        context = int(self.length_S[item]) - (self.start_S[item] == _NO_START)
        raise InputError(
            f"it needs a context of {context} embeddings, and the model takes {rows}; shorten it"
            + (", or score it in windows (leave window=False out)" if rows != 1 else ""),
            item,
        )

    def sequences(self, cuts: _Cuts) -> tuple[NDArray[np.int32], Ints]:
        """The symbols of all windows, each after its start symbol, and the offsets of the windows."""
        length_W, start_W = cuts.stop_W - cuts.begin_W, self.start_S[cuts.item_W]
        offset_W1 = offsets(length_W + (start_W != _NO_START))
        head_W = offset_W1[:-1][start_W != _NO_START]
        symbol_L = np.empty(offset_W1[-1], np.int32)
        token_L = np.ones(len(symbol_L), bool)
        token_L[head_W] = False
        symbol_L[head_W] = start_W[start_W != _NO_START]
        symbol_L[token_L] = self.symbol_B[ranges(offsets(self.length_S)[cuts.item_W] + cuts.begin_W, length_W)]
        return symbol_L, offset_W1


def rows_and_stride(max_rows: int | None, window: int | bool | None, stride: int | None) -> tuple[int | None, int]:
    """The number of embeddings in a window, and of tokens from one window to the next. Raises InputError."""
    rows = max_rows if window is None or isinstance(window, bool) else window
    if window is False and stride is not None:
        raise InputError(f"stride={short(stride)} needs windows, and window=False allows none: give one of the two")
    if rows is None and stride is None:
        return None, 1
    if rows is None:
        raise InputError("this model has no limit on its context, so stride needs window as well: give both")
    if not is_whole(rows, min(2, max_rows or 2)):
        raise InputError(f"window must be a whole number of embeddings, 2 or more, not {short(window)}")
    if max_rows is not None and rows > max_rows:
        raise InputError(f"window {rows} is longer than the model's own context of {max_rows} embeddings")
    rows = min(int(rows), _LONGEST)
    if stride is None:
        return rows, max(1, rows // 2)
    if not is_whole(stride, 1, rows):
        raise InputError(f"stride must be from 1 to the window's {rows} embeddings, not {short(stride)}")
    return rows, int(stride)
