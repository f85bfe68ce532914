"""The interface of predictors: factors of sequences, and distributions of next tokens, for every kind of model.

Shapes: L positions of a text, T factors, B conditionals, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np

from chainrule._types import Floats, Ints
from chainrule.engine.decoding.base import DecodingTree
from chainrule.engine.execution import CachedPrefix
from chainrule.engine.head.asked import AskedTokens
from chainrule.engine.question import Answer, Item, SequenceFactors, Settings
from chainrule.errors import InputError
from chainrule.forest.permutations import OrderedSequence
from chainrule.text.base import TokenizerLike, token_formatter
from chainrule.text.start_end import Start, resolve_start
from chainrule.verdict import Verdict

YES = Verdict(True, "")


@dataclass(frozen=True)
class Accepts:
    """The requests that a predictor supports. The reason of a negative verdict is a message for the user."""

    next_token: Verdict = YES  # a distribution of the next token, given only the tokens before it
    embeddings: Verdict = YES  # embeddings in place of token ids
    embed: Verdict = YES  # the embeddings of token ids, as `score` takes them
    engine: Verdict = YES  # an engine that scores forests
    pairs: Verdict = YES  # [CLS] A [SEP] B [SEP]
    end_symbol: Verdict = YES  # a factor of the end symbol, in the predictor's own order
    left_to_right: Verdict = YES  # a causal forward of its own from left to right, which `verify` compares with
    pseudo: Verdict = YES  # a unique probability of a token given all others


@dataclass(frozen=True)
class Support:
    """The tokens that can occur. Distributions are over these tokens only."""

    left_out: Ints = field(default_factory=lambda: np.zeros(0, np.int64))  # ids of probability 0 by definition, ascending
    description: str = ""  # one line for users; "" if all of the vocabulary can occur


class Cloze(NamedTuple):
    """One conditional: the distribution of the token at `target`, given those at `seen`, in a text of L tokens."""

    ids_L: Ints  # only the positions `seen` are read
    seen: Ints  # in the order in which they became known
    target: int
    start_id: int | None = None


class Predictor(Protocol):
    """The interface of one kind of model to the rest of chainrule."""

    model: Any  # with name, head.size, device …
    strategy: str  # "forest", "batch", "single", "masked", "two-stream" or "marginal"
    reason: str  # why this strategy was chosen
    accepts: Accepts

    @property
    def invariance(self) -> Verdict:
        """Whether a factor has the same bits alone, in any batch, order and chunk."""
        ...

    @property
    def any_order(self) -> OrderedPredictor:
        """The predictor in any order with this model: itself, or sums over all texts if these are few."""
        ...

    def cache_prefixes(self, memory: int) -> Verdict:
        """Keep prefixes in this many bytes (0: none), if this kind of model can. Whether they are kept, with the reason."""
        ...

    def start(self, requested: str | int, tokenizer: TokenizerLike | None) -> Start:
        """The start symbol for a start policy. Raises InputError for a policy that the model does not allow."""
        ...

    def factors(
        self, items: Sequence[Item], settings: Settings, *, cached_prefix: CachedPrefix | None = None
    ) -> SequenceFactors:
        """Every factor of every item. Each distinct factor is computed once.

        cached_prefix: rows of a prefix of all items that have been computed already.
        Raises InputError, with the item, for an item that cannot be scored, and ModelError for NaN.
        """
        ...

    def next_token(self, contexts: Sequence[Item], *, rows: int | None = None, temperature: float = 1.0) -> Floats:
        """log Pr(v | all tokens of the context) for every v of the vocabulary, B × V. Raises InputError."""
        ...

    def tree(self, ids: Sequence[int], rows: int = 1, *, same_bits: bool = False) -> DecodingTree:
        """A decoding tree after the ids (one at least, start symbol included), for about `rows` hypotheses at a time.

        same_bits: all nodes have the bits of scoring, if `invariance` is true. Otherwise they may.
        """
        ...


class OrderedPredictor(Predictor, Protocol):
    """A predictor in any order, for texts of given length."""

    how: str  # one line for users: the reason that positions not yet predicted have no effect
    support: Support

    def factors_in_order(
        self, sequences: list[OrderedSequence], settings: Settings, asked_S: Sequence[AskedTokens] = ()
    ) -> SequenceFactors:
        """The factors of sequences, predicted in their orders and returned in the order of the text.

        asked_S: the tokens asked for at the factors of each sequence, in the order of the text.
        """
        ...

    def answer(self, clozes: Sequence[Cloze], token_N: Ints, settings: Settings = ...) -> Answer:
        """log Pr(token | seen) for each cloze and its token, with its statistics. Raises InputError; see `accepts.pseudo`."""
        ...

    def conditionals(self, clozes: list[Cloze], *, rows: int | None = ..., temperature: float = ...) -> Floats:
        """log Pr(v | seen) for every v of the vocabulary, B × V; −inf for tokens outside the support."""
        ...

    def ordered_tree(self, ordered: OrderedSequence) -> DecodingTree:
        """A decoding tree that fills the positions `ordered.order_T` of a text whose other tokens are given."""
        ...


def own_start(requested: str | int, model: Any, tokenizer: TokenizerLike | None) -> Start:
    """The start symbol for a start policy, from the BOS and EOS symbols of the tokenizer and the model."""
    return resolve_start(
        requested,
        vocab_size=model.embeddings,
        tokenizer_bos=tokenizer.bos_id if tokenizer else None,
        tokenizer_eos=tokenizer.eos_id if tokenizer else None,
        config_bos=model.bos_id,
        config_eos=model.eos_id,
        token=token_formatter(tokenizer),
    )


class Steps(Sequence[Cloze]):
    """The conditionals of sequences in their orders, one sequence after another. Each is created when it is accessed."""

    def __init__(self, sequences: Sequence[OrderedSequence]) -> None:
        self.sequences = sequences
        self.at_N = [(s, t) for s, ordered in enumerate(sequences) for t in range(len(ordered.order_T))]  # (sequence, step)

    @property
    def token_N(self) -> Ints:
        """The tokens to predict."""
        return np.array([self.sequences[s].ids_L[self.sequences[s].order_T[t]] for s, t in self.at_N], np.int64)

    def __len__(self) -> int:
        return len(self.at_N)

    def __getitem__(self, n: Any) -> Any:
        s, t = self.at_N[n]
        ordered = self.sequences[s]
        return Cloze(ordered.ids_L, ordered.seen(t), int(ordered.order_T[t]), ordered.start_id)


def check_clozes(clozes: Sequence[Cloze]) -> None:
    """Raises InputError, with the item, for a position outside the text, or a target that is already seen."""
    for item, (ids_L, seen, target, _) in enumerate(clozes):
        length = len(ids_L)
        wrong = [p for p in (*np.asarray(seen).tolist(), target) if not 0 <= p < length]
        if wrong:
            raise InputError(f"position {wrong[0]} is outside the text, whose positions are 0 … {length - 1}", item)
        if target in seen:
            raise InputError(f"position {target} is seen, so there is nothing to predict there", item)
