"""Random tables of next-token logits, and all continuations that they allow."""

from __future__ import annotations

from itertools import product

import numpy as np
from oracle import log_softmax

from chainrule import LanguageModel, Score, TableModel


def random_table(seed: int, names: str = "ABC", *, length: int = 4, scale: float = 1.5, end: bool = False) -> LanguageModel:
    """A table of random logits for every context shorter than `length`. end: the last token is the end symbol."""
    random = np.random.default_rng(seed)
    contexts = ["".join(context) for n in range(length) for context in product(names, repeat=n)]
    rows = {context: random.normal(0, scale, len(names)) for context in contexts}
    return LanguageModel(TableModel(list(names), rows, end=names[-1] if end else None))


def all_continuations(lm: LanguageModel, length: int) -> dict[str, float]:
    """Every complete text of at most `length` tokens with its log probability: the sum of the factors of the table."""
    end, names, rows = lm.model.eos_id, lm.model.vocabulary, lm.model.rows
    complete, open_ = {}, {"": 0.0}
    while open_:
        longer = {}
        for text, logprob in open_.items():
            for v, p in enumerate(log_softmax(rows[tuple(names.index(c) for c in text)])):
                extended = text + names[v]
                finished = v == end or len(extended) == length
                (complete if finished else longer)[extended] = logprob + p
        open_ = longer
    return complete


def spelled(score: Score) -> str:
    """The scored tokens as letters, end symbol included."""
    return "".join(score.tokens)
