"""From bodies of tokens to a question for the engine, and from its answer back to one row for each token.

Shapes: S bodies, T their tokens to be scored all together, N nodes of the forest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from chainrule.engine.engine import Question
from chainrule.errors import InputError
from chainrule.forest import Forest, Window, windows

Ints = NDArray[np.int64]


@dataclass
class Body:
    """Tokens behind a start symbol, of which the first `given` are the condition of the others."""

    ids: Ints
    given: int
    start_id: int | None  # None: no start symbol, so that at least the first token is given
    embeddings: torch.Tensor | None = None  # len(ids) × D, in place of the embeddings of `ids`


@dataclass(frozen=True)
class Job:
    """A question, and where the factor of every token to be scored is found in its answer."""

    question: Question
    node_T: Ints
    windows_S: Ints  # how many windows each body was scored in

    @property
    def context_T(self) -> Ints:
        """How many embeddings, start symbol included, each factor is conditioned on."""
        return self.question.forest.depth_N[self.node_T]


def plan(bodies: list[Body], max_rows: int | None, window: int | bool | None, stride: int | None) -> Job:
    """Lay the bodies out as one forest, those that are too long in windows.

    `window` is the most embeddings to condition on (None: what the model can take; False: refuse longer texts), `stride`
    how many tokens each further window scores (None: half a window).
    """
    rows, stride = _window(max_rows, window, stride)
    sequences, pieces = [], []  # a sequence is one window of one body
    symbols = _symbols(bodies)
    for s, body in enumerate(bodies):
        head = [] if body.start_id is None else [body.start_id]
        for w in _windows(body, s, rows, stride, refuse=window is False):
            pieces.append((s, len(sequences), w.first - w.begin + len(head), w.stop - w.begin + len(head)))
            sequences.append(np.concatenate([np.array(head, np.int64), symbols[s][w.begin : w.stop]]))
    forest = Forest.build(sequences)
    nodes = [forest.path(sequence)[first:stop] for _, sequence, first, stop in pieces]
    node_T = np.concatenate(nodes) if nodes else np.zeros(0, np.int64)
    wanted_N = np.zeros(len(forest), bool)
    wanted_N[node_T] = True
    given = [(body.embeddings, body.ids) for body in bodies if body.embeddings is not None]
    question = Question(
        forest,
        wanted_N,
        torch.cat([embeddings for embeddings, _ in given]) if given else None,
        np.concatenate([ids for _, ids in given]) if given else None,
    )
    return Job(question, node_T, np.bincount([s for s, *_ in pieces], minlength=len(bodies)))


def _symbols(bodies: list[Body]) -> list[Ints]:
    """Each body's tokens as symbols of the forest; a given embedding is a symbol of its own, below 0."""
    symbols, used = [], 0
    for body in bodies:
        if body.embeddings is None:
            symbols.append(body.ids)
        else:
            symbols.append(-1 - used - np.arange(len(body.ids)))
            used += len(body.ids)
    return symbols


def _windows(body: Body, index: int, rows: int | None, stride: int, *, refuse: bool) -> list[Window]:
    length, given = len(body.ids), body.given if body.start_id is not None else max(1, body.given)
    if given >= length:
        raise InputError(
            "a single token with a given start has no factor, so there is nothing to score; "
            "use a start symbol (start='bos', 'eos' or a token id), or a longer text",
            index,
        )
    rows = rows or length + 1
    found = windows(given, length, rows, stride, start_symbol=body.start_id is not None)
    if refuse and len(found) + (found[0].begin > 0) > 1:
        raise InputError(
            f"it needs a context of {length - (body.start_id is None)} embeddings, and the model takes {rows}; "
            "shorten it, or score it in windows (leave window=False, or --no-window, out)",
            index,
        )
    return found


def _window(max_rows: int | None, window: int | bool | None, stride: int | None) -> tuple[int | None, int]:
    """Embeddings in a window, tokens a window moves on by."""
    rows = max_rows if window is None or isinstance(window, bool) else window
    if rows is None and stride is None:
        return None, 1
    if rows is None:
        raise InputError("this model has no bound on its context, so a stride needs a window: give both")
    if isinstance(rows, bool) or not isinstance(rows, int | np.integer) or rows < 2:
        raise InputError(f"window must be a whole number of embeddings, 2 or more, not {window!r}")
    if max_rows is not None and rows > max_rows:
        raise InputError(f"window {rows} is longer than the model's own context of {max_rows} embeddings")
    if stride is None:
        return rows, max(1, rows // 2)
    if isinstance(stride, bool) or not isinstance(stride, int | np.integer) or not 1 <= stride <= rows:
        raise InputError(f"stride must be from 1 to the window's {rows} embeddings, not {stride!r}")
    return rows, int(stride)
