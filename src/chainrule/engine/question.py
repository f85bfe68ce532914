"""Questions to an engine or a predictor, and their answers.

Shapes: N nodes of a forest, S sequences, T factors of all of them, L tokens of one sequence, k alternatives.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from chainrule._checks import is_number, is_whole
from chainrule._types import Bools, Floats, Ints
from chainrule.engine.head.asked import NONE, AskedFactors, AskedTokens
from chainrule.engine.inputs.node_inputs import Alphabet, Tokens
from chainrule.errors import InputError, ModelError, short
from chainrule.forest.forest import Forest, offsets, ranges
from chainrule.forest.permutations import OrderedSequence
from chainrule.statistics import Statistics, WithStatistics
from chainrule.text.token_sets import NO_SETS, TokenSets
from chainrule.verdict import Verdict

Progress = Callable[[int, int], None]  # contexts done, contexts in all


@dataclass(frozen=True)
class Settings:
    """Options of a computation and of its result; see `LanguageModel.score_batch`."""

    top: int = 0
    window: int | bool | None = None
    stride: int | None = None
    rows: int | None = None
    progress: Progress | None = None
    temperature: float = 1.0  # of softmax(z / temperature)
    sets: TokenSets = NO_SETS  # of tokens whose probability is computed at every position
    last_n: int | None = None  # score the last n tokens of a text only
    draws: int = 0  # random tokens from the distribution of each factor

    def check(self, vocab_size: int) -> None:
        """Raises InputError if a number is out of range."""
        numbers = [("top", self.top, 0, vocab_size), ("draws", self.draws, 0, 1 << 20)]
        optional = ("rows", self.rows, 1, 1 << 20), ("last_n", self.last_n, 1, 1 << 31)
        numbers += [number for number in optional if number[1] is not None]
        for name, value, low, high in numbers:
            if not is_whole(value, low, high):
                raise InputError(f"{name} must be a whole number from {low} to {high}, not {short(value)}")
        temperature = self.temperature.item() if isinstance(self.temperature, np.generic) else self.temperature
        if not is_number(temperature) or not 0 < temperature <= sys.float_info.max:
            raise InputError(f"temperature must be a number above 0, not {short(self.temperature)}")


DEFAULTS = Settings()


@dataclass(slots=True)
class Item:
    """One sequence to score: the tokens after a start symbol. The first `given` tokens are the context of the others."""

    ids: Ints
    given: int
    start_id: int | None  # None: no start symbol, so at least the first token is given
    embeddings: torch.Tensor | None = None  # len(ids) × D, used in place of the embeddings of `ids`
    order: Ints | None = None  # of the tokens to score, as positions 0 … among them; None: the predictor's own order
    asked: AskedTokens = NONE  # at its factors, in the order of the text

    @property
    def factors(self) -> int:
        """The number of its factors."""
        return len(self.ids) - max(self.given, self.start_id is None)

    def ordered(self) -> OrderedSequence:
        """The sequence in its order. With no start symbol and no context, the first token in the order is given."""
        order_T = (np.arange(len(self.ids) - self.given) if self.order is None else self.order) + self.given
        first = int(self.start_id is None and not self.given)
        given_G = np.concatenate([np.arange(self.given), order_T[:first]])
        return OrderedSequence(self.ids, order_T[first:], given_G, self.start_id)


@dataclass(frozen=True)
class Question:
    """A forest of symbols, the nodes whose factors are wanted, and the meaning of the symbols."""

    forest: Forest
    wanted_N: Bools
    alphabet: Alphabet = field(default_factory=Tokens)
    asked: AskedTokens = NONE  # at its nodes

    @property
    def token_N(self) -> Ints:
        """The token id of every node."""
        return self.alphabet.tokens(self.forest.symbol_N)

    @property
    def contexts(self) -> int:
        """The number of distinct contexts: of nodes with children."""
        return int((self.forest.end_N > np.arange(len(self.forest)) + 1).sum())


@dataclass(frozen=True)
class Answer(WithStatistics):
    """The statistics of the factor of every node of a forest; NaN and 0 if the factor was not wanted."""

    rows: int  # contexts that the network computed
    contexts: int  # distinct contexts
    asked: AskedFactors = field(default_factory=lambda: AskedFactors.empty(0))  # in the order in which they were asked for

    @classmethod
    def empty(cls, nodes: int, how: Settings, contexts: int, asked: AskedTokens = NONE) -> Answer:
        """An answer for this number of nodes, to be filled in."""
        return cls(Statistics.empty(nodes, how.top, len(how.sets)), 0, contexts, AskedFactors.empty(len(asked)))

    def at(self, node_T: Ints) -> Answer:
        """The answer for these nodes alone, in this order; `asked` as it is."""
        return replace(self, statistics=self.statistics[node_T])

    def store(self, node_F: Ints | slice, columns: Mapping[str, NDArray[Any]], index_X: Ints = NONE.factor_X) -> None:
        """Fill in the statistics of these nodes, and the tokens asked for with these indices, from columns of the readout."""
        self.statistics.write(node_F, columns)
        if len(index_X):
            self.asked.id_X[index_X], self.asked.logprob_X[index_X] = columns["asked_ids"], columns["asked_logprobs"]


def refuse_nan(logprob: Floats, name: str) -> None:
    """Raises ModelError if there is a NaN."""
    if np.isnan(logprob).any():
        raise ModelError(
            f"{name} gave NaN for {int(np.isnan(logprob).sum())} of {logprob.size} factors: "
            "the weights or the embeddings overflow in this dtype; try dtype='float32'"
        )


@dataclass(frozen=True)
class Route:
    """The order in which the factors of a sequence were computed, and its consequences for them."""

    ordered: OrderedSequence
    how: str  # one line: the means by which later tokens are hidden
    support: str  # one line if some tokens of the vocabulary cannot occur; otherwise ""
    length_given: bool  # whether a factor may depend on the length of the sequence


@dataclass(frozen=True)
class SequenceFactors:
    """The factors of S sequences, one sequence after another, each in text order."""

    answer: Answer
    ids: Ints
    contexts: Ints  # embeddings in the context of each factor, start symbol included
    count_S: Ints  # factors of each sequence
    windows_S: Ints
    routes: list[Route | None]  # None: left to right by a causal model, with no order requested
    invariance: Verdict
    asked_S: list[AskedFactors] = field(default_factory=list)  # of each sequence; [] if nothing was asked for

    @classmethod
    def joined(cls, parts: list[SequenceFactors], sequence_S: Ints) -> SequenceFactors:
        """All parts as one. The sequences of the parts, one part after another, have the numbers `sequence_S`."""
        index_S = np.argsort(sequence_S, kind="stable")
        count_S = np.concatenate([part.count_S for part in parts])
        take_T = ranges(offsets(count_S)[:-1][index_S], count_S[index_S])
        statistics = Statistics.concatenate([part.answer.statistics for part in parts])
        rows, contexts = (sum(getattr(part.answer, name) for part in parts) for name in ("rows", "contexts"))
        routes = [route for part in parts for route in part.routes]
        nothing = AskedFactors.empty(0)
        asked = [each for part in parts for each in part.asked_S or [nothing] * len(part.count_S)]
        return cls(
            Answer(statistics[take_T], rows, contexts),
            np.concatenate([part.ids for part in parts])[take_T],
            np.concatenate([part.contexts for part in parts])[take_T],
            count_S[index_S],
            np.concatenate([part.windows_S for part in parts])[index_S],
            [routes[s] for s in index_S.tolist()],
            next((part.invariance for part in parts if not part.invariance), parts[0].invariance),
            [asked[s] for s in index_S.tolist()] if any(part.asked_S for part in parts) else [],
        )
