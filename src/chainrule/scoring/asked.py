"""What users ask for at each factor beside the factor itself: the log probabilities of given ids, and random draws.

Shapes: T factors of a text, L tokens of its context and itself, K draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Any

import numpy as np

from chainrule._types import Floats, Ints
from chainrule.engine.head.asked import AskedTokens
from chainrule.engine.question import Item, SequenceFactors
from chainrule.errors import InputError, short
from chainrule.results.token_lists import TokenLists
from chainrule.text.arguments import as_list, is_missing
from chainrule.text.ids import as_ids


def target_lists(targets: Any, count: int) -> list[Any]:
    """What was passed as `targets` for `count` texts: one entry for each text."""
    lists = as_list(targets, "targets")
    if len(lists) != count:
        raise InputError(f"there are {len(lists)} entries in targets and {count} texts: pass one for each text")
    return lists


def asking(items: Sequence[Item], targets: Sequence[Any], draws: int, seed: int, vocab_size: int) -> list[Item]:
    """The items with the tokens asked for at their factors. targets: of each item; empty: none."""
    return [
        replace(item, asked=asked_tokens(item, of_item, draws, seed, vocab_size, number))
        for number, (item, of_item) in enumerate(zip(items, targets or [None] * len(items), strict=True))
    ]


def token_lists(factors: SequenceFactors, asked_S: Sequence[AskedTokens]) -> tuple[TokenLists | None, TokenLists | None]:
    """The targets and the draws of all factors, as results; None if there are none."""
    asked = AskedTokens.concatenate(asked_S, factors.count_S)
    ids, logprobs = (np.concatenate([getattr(each, name) for each in factors.asked_S]) for name in ("id_X", "logprob_X"))
    lists = []
    for of_kind in (~asked.drawn_X, asked.drawn_X):
        count_T = np.bincount(asked.factor_X[of_kind], minlength=int(factors.count_S.sum()))
        lists.append(TokenLists.of(count_T, ids[of_kind], logprobs[of_kind]) if of_kind.any() else None)
    return lists[0], lists[1]


def asked_tokens(item: Item, targets: Any, draws: int, seed: int, vocab_size: int, number: int) -> AskedTokens:
    """The targets and draws of one text. number: of the text, for errors.

    targets: a list of ids for each factor; None: no targets.
    """
    lists = [] if is_missing(targets) else _lists(targets, item.factors, vocab_size, number)
    return AskedTokens.of(lists, _uniform(item, draws, seed))


def _lists(targets: Any, factors: int, vocab_size: int, number: int) -> list[Ints]:
    lists = [_ids(ids, place, vocab_size, number) for place, ids in enumerate(_entries(targets, number))]
    if len(lists) != factors:
        raise InputError(
            f"targets has {len(lists)} lists of ids, and the text has {factors} factors: pass one list for each factor, in the "
            "order of the text ([] for none); a context, and a first token that is given, have no factors",
            number,
        )
    return lists


def _entries(targets: Any, number: int) -> Sequence[Any]:
    try:
        return as_list(targets, "the targets of a text")
    except InputError as error:
        raise InputError(error.reason, number) from None


def _ids(ids: Any, place: int, vocab_size: int, number: int) -> Ints:
    """The ids for one factor. Raises InputError."""
    if is_missing(ids):
        return np.zeros(0, np.int64)
    if isinstance(ids, str) or not hasattr(ids, "__len__") or getattr(ids, "ndim", 1) == 0:
        raise InputError(
            f"targets has one list of ids for each factor, and {short(ids)} (number {place}) is no list: put it into a list",
            number,
        )
    try:
        array = as_ids(ids)
    except InputError as error:
        raise InputError(f"targets[{place}]: {error.reason}", number) from None
    wrong = array[(array < 0) | (array >= vocab_size)]
    if len(wrong):
        raise InputError(
            f"token id {wrong[0]} in targets[{place}] is out of range; the model's ids are 0 … {vocab_size - 1}", number
        )
    return array


def _uniform(item: Item, draws: int, seed: int) -> Floats:
    """Uniform random numbers, T × K. They depend on the seed and the tokens of the text alone, so a text has the same draws
    in any batch; the first draws are the same for any K."""
    key = np.append(item.ids, -1 if item.start_id is None else item.start_id).astype(np.int64).tobytes()
    words = np.frombuffer(blake2b(key, digest_size=16).digest(), np.uint32)
    uniform_KL = np.random.default_rng([seed, *words.tolist()]).random((draws, len(item.ids)))
    return uniform_KL[:, len(item.ids) - item.factors :].T
