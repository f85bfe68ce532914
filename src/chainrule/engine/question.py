"""What an engine and a predictor are asked, and what they answer.

Shapes: N nodes of a forest, S sequences, T factors of all of them, L tokens of one sequence, k alternatives.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from chainrule._checks import is_whole
from chainrule._types import Bools, Floats, Ints
from chainrule.engine.node_inputs import Alphabet, Tokens
from chainrule.errors import InputError, ModelError, short
from chainrule.forest.forest import Forest, offsets, ranges
from chainrule.forest.permutations import OrderedSequence
from chainrule.verdict import Verdict

Progress = Callable[[int, int], None]  # contexts done, contexts in all


@dataclass(frozen=True)
class Settings:
    """How to compute and what to keep; see `LanguageModel.score_batch`."""

    top: int = 0
    window: int | bool | None = None
    stride: int | None = None
    rows: int | None = None
    progress: Progress | None = None

    def check(self, vocab_size: int) -> None:
        """Raises InputError for a number out of range."""
        rows = () if self.rows is None else (("rows", self.rows, 1, 1 << 20),)
        for name, value, low, high in (("top", self.top, 0, vocab_size), *rows):
            if not is_whole(value, low, high):
                raise InputError(f"{name} must be a whole number from {low} to {high}, not {short(value)}")


@dataclass(slots=True)
class Item:
    """One sequence to score: the tokens after a start symbol. The first `given` are the condition of the others."""

    ids: Ints
    given: int
    start_id: int | None  # None: no start symbol, so at least the first token is given
    embeddings: torch.Tensor | None = None  # len(ids) × D, used in place of the embeddings of `ids`
    order: Ints | None = None  # of the tokens to score, as places 0 … among these; None: the predictor's own order

    def ordered(self) -> OrderedSequence:
        """The sequence in its order. Without a start symbol and a context, the first token in the order is given."""
        order_T = (np.arange(len(self.ids) - self.given) if self.order is None else self.order) + self.given
        first = int(self.start_id is None and not self.given)
        given_G = np.concatenate([np.arange(self.given), order_T[:first]])
        return OrderedSequence(self.ids, order_T[first:], given_G, self.start_id)


@dataclass(frozen=True)
class Question:
    """What to compute: a forest of symbols, the nodes whose factors are wanted, and what the symbols mean."""

    forest: Forest
    wanted_N: Bools
    alphabet: Alphabet = field(default_factory=Tokens)

    @property
    def token_N(self) -> Ints:
        """The token id at every node."""
        return self.alphabet.tokens(self.forest.symbol_N)


@dataclass(frozen=True)
class Answer:
    """For every node of the forest: its factor and the statistics of its conditional; NaN and 0 where none was wanted."""

    logprob_N: Floats
    rank_N: NDArray[np.int32]
    entropy_N: Floats
    top_id_Nk: NDArray[np.int32]
    top_logprob_Nk: Floats
    rows: int  # contexts that the network computed
    contexts: int  # distinct contexts

    @classmethod
    def empty(cls, nodes: int, top: int, contexts: int) -> Answer:
        """An answer for so many nodes, to be filled."""
        logprob_N, entropy_N = np.full(nodes, np.nan), np.full(nodes, np.nan)
        top_id_Nk, top_logprob_Nk = np.zeros((nodes, top), np.int32), np.full((nodes, top), np.nan)
        return cls(logprob_N, np.zeros(nodes, np.int32), entropy_N, top_id_Nk, top_logprob_Nk, 0, contexts)

    @property
    def columns(self) -> tuple[NDArray[Any], ...]:
        """The arrays, one entry a node, in the order of the fields."""
        return self.logprob_N, self.rank_N, self.entropy_N, self.top_id_Nk, self.top_logprob_Nk

    def at(self, node_T: Ints) -> Answer:
        """The same for these nodes alone, in this order."""
        logprob_T, rank_T, entropy_T, top_id_Tk, top_logprob_Tk = (column[node_T] for column in self.columns)
        return Answer(logprob_T, rank_T, entropy_T, top_id_Tk, top_logprob_Tk, self.rows, self.contexts)

    def store(self, node_F: Ints, factors: object) -> None:
        """Fill in the columns of the readout's factors at these nodes."""
        for target, source in (("logprob_N", "logprob_F"), ("rank_N", "rank_F"), ("entropy_N", "entropy_F"),
                               ("top_id_Nk", "top_id_Fk"), ("top_logprob_Nk", "top_logprob_Fk")):  # fmt: skip
            getattr(self, target)[node_F] = getattr(factors, source).cpu().numpy()


def refuse_nan(logprob: Floats, name: str) -> None:
    """Raises ModelError where there is NaN."""
    if np.isnan(logprob).any():
        raise ModelError(
            f"{name} gave NaN for {int(np.isnan(logprob).sum())} of {logprob.size} factors: "
            "its weights or the embeddings given overflow in this dtype; try dtype='float32'"
        )


@dataclass(frozen=True)
class Route:
    """In which order the factors of a sequence were taken, and what this means for them."""

    ordered: OrderedSequence
    how: str  # one line: what keeps later tokens out of view
    support: str  # one line where some tokens of the vocabulary cannot occur; else ""
    length_given: bool  # whether a factor may depend on the length of the sequence


@dataclass(frozen=True)
class SequenceFactors:
    """The factors of S sequences, one sequence after another, each in the order of its text."""

    answer: Answer
    ids: Ints
    contexts: Ints  # embeddings that each factor is conditioned on, start symbol included
    count_S: Ints  # factors of each sequence
    windows_S: Ints
    routes: list[Route | None]  # None: left to right, as causal models do, where no order was asked for
    invariance: Verdict

    @classmethod
    def joined(cls, parts: list[SequenceFactors], sequence_S: Ints) -> SequenceFactors:
        """Several as one. The sequences of all parts, one part after another, are those numbered `sequence_S`."""
        place_S = np.argsort(sequence_S, kind="stable")
        count_S = np.concatenate([part.count_S for part in parts])
        take_T = ranges(offsets(count_S)[:-1][place_S], count_S[place_S])
        logprob, rank, entropy, top_id, top_logprob = (
            np.concatenate(columns) for columns in zip(*(part.answer.columns for part in parts), strict=True)
        )
        rows, contexts = (sum(getattr(part.answer, name) for part in parts) for name in ("rows", "contexts"))
        routes = [route for part in parts for route in part.routes]
        return cls(
            Answer(logprob, rank, entropy, top_id, top_logprob, rows, contexts).at(take_T),
            np.concatenate([part.ids for part in parts])[take_T],
            np.concatenate([part.contexts for part in parts])[take_T],
            count_S[place_S],
            np.concatenate([part.windows_S for part in parts])[place_S],
            [routes[s] for s in place_S.tolist()],
            next((part.invariance for part in parts if not part.invariance), parts[0].invariance),
        )
