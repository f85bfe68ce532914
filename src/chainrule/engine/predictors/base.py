"""What every kind of model can be asked: factors of sequences, and distributions of next tokens.

Shapes: L positions of a text, T factors, B conditionals, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np

from chainrule._types import Floats, Ints
from chainrule.engine.decoding.base import DecodingTree
from chainrule.engine.execution import Begun
from chainrule.engine.question import Answer, Item, SequenceFactors, Settings
from chainrule.errors import InputError
from chainrule.forest.permutations import OrderedSequence
from chainrule.text.base import TokenizerLike, token_formatter
from chainrule.text.start_end import Start, resolve_start
from chainrule.verdict import Verdict

YES = Verdict(True, "")
DEFAULTS = Settings()


@dataclass(frozen=True)
class Accepts:
    """Which requests make sense for a predictor; where one does not, the reason is a sentence for the user."""

    next_token: Verdict = YES  # a distribution of the next token, given those before it alone
    embeddings: Verdict = YES  # embeddings in place of token ids
    embed: Verdict = YES  # the embeddings of token ids, as `score` takes them
    engine: Verdict = YES  # the engine that scores its forests
    pairs: Verdict = YES  # [CLS] A [SEP] B [SEP]
    end_symbol: Verdict = YES  # a factor of the end symbol, in the predictor's own order
    left_to_right: Verdict = YES  # its own order is left to right, by its own causal forward: `verify` compares with that
    pseudo: Verdict = YES  # one probability of a token given all others


@dataclass(frozen=True)
class Support:
    """The tokens that can occur at all: a distribution is over these alone."""

    left_out: Ints = field(default_factory=lambda: np.zeros(0, np.int64))  # ids of probability 0 by definition, ascending
    description: str = ""  # one line for people; "" where all of the vocabulary can occur


class Cloze(NamedTuple):
    """One conditional: the distribution of the token at `target`, given those at `seen`, in a text of L tokens."""

    ids_L: Ints  # read at the positions `seen` only
    seen: Ints  # in the order in which they became known
    target: int
    start_id: int | None = None


class Predictor(Protocol):
    """One kind of model, as the rest of chainrule uses it."""

    model: Any  # name, head.size, device …
    strategy: str  # how the network is run: "forest", "batch", "single", "masked", "two-stream", "marginal"
    reason: str  # why by this strategy
    accepts: Accepts

    @property
    def invariance(self) -> Verdict:
        """Whether a factor has the same bits alone, in any batch, order and chunk."""
        ...

    @property
    def any_order(self) -> OrderedPredictor:
        """What predicts in any order with this model: itself, or sums over all texts where these are few."""
        ...

    def start(self, requested: str | int, tokenizer: TokenizerLike | None) -> Start:
        """The start symbol for a start policy. Raises InputError for a policy that cannot be."""
        ...

    def factors(self, items: Sequence[Item], settings: Settings, *, begun: Begun | None = None) -> SequenceFactors:
        """Every factor of every item, each distinct one once.

        begun: rows of what all items begin with that have run already.
        Raises InputError, with the item, for what cannot be scored, and ModelError where there is NaN.
        """
        ...

    def next_token(self, contexts: Sequence[Item], *, rows: int | None = None) -> Floats:
        """log Pr(v | all tokens of the context) for every v of the vocabulary, B × V. Raises InputError."""
        ...

    def tree(self, ids: Sequence[int], rows: int = 1) -> DecodingTree:
        """Continuations of the ids (one at least, start symbol included), about `rows` of them at a time."""
        ...


class OrderedPredictor(Predictor, Protocol):
    """A predictor of texts whose length is given, in any order."""

    how: str  # one line for people: what keeps the positions not yet predicted out of view
    support: Support

    def factors_in_order(self, sequences: list[OrderedSequence], settings: Settings) -> SequenceFactors:
        """The factors of sequences in their orders, each put back into the order of its text."""
        ...

    def answer(self, clozes: Sequence[Cloze], token_N: Ints, settings: Settings = ...) -> Answer:
        """log Pr(token | seen) for each cloze and its token, with its statistics. Raises InputError; see `accepts.pseudo`."""
        ...

    def conditionals(self, clozes: list[Cloze], *, rows: int | None = ...) -> Floats:
        """log Pr(v | seen) for every v of the vocabulary, B × V; −inf for what is outside the support."""
        ...

    def ordered_tree(self, ordered: OrderedSequence) -> DecodingTree:
        """Continuations that fill the positions `ordered.order_T` of a text whose other tokens are given."""
        ...


def own_start(requested: str | int, model: Any, tokenizer: TokenizerLike | None) -> Start:
    """The start symbol of a model with a BOS or EOS symbol, or none."""
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
    """The conditionals of sequences in their orders, one sequence after another; each is made when it is read."""

    def __init__(self, sequences: Sequence[OrderedSequence]) -> None:
        self.sequences = sequences
        self.at_N = [(s, t) for s, ordered in enumerate(sequences) for t in range(len(ordered.order_T))]

    @property
    def token_N(self) -> Ints:
        """The tokens to be predicted."""
        return np.array([self.sequences[s].ids_L[self.sequences[s].order_T[t]] for s, t in self.at_N], np.int64)

    def __len__(self) -> int:
        return len(self.at_N)

    def __getitem__(self, n: Any) -> Any:
        s, t = self.at_N[n]
        ordered = self.sequences[s]
        return Cloze(ordered.ids_L, ordered.seen(t), int(ordered.order_T[t]), ordered.start_id)


def check_clozes(clozes: Sequence[Cloze]) -> None:
    """Raises InputError, with the item, for a place outside the text, or one that is both asked about and seen."""
    for item, (ids_L, seen, target, _) in enumerate(clozes):
        length = len(ids_L)
        wrong = [p for p in (*np.asarray(seen).tolist(), target) if not 0 <= p < length]
        if wrong:
            raise InputError(f"place {wrong[0]} is none of the {length} places 0 … {length - 1} of the text", item)
        if target in seen:
            raise InputError(f"place {target} is seen, so there is nothing to predict there", item)
