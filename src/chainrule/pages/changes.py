"""Changes to a text: another token, another start symbol, or a beginning that is cut off.

Positions are those of the whole sequence: the context, then the text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from chainrule._checks import is_whole
from chainrule._types import Ints
from chainrule.errors import InputError, short
from chainrule.pages.language import Language
from chainrule.pages.recomputed import positions_of, sequence_of
from chainrule.pages.tokens import Tokens
from chainrule.results.score import Score
from chainrule.text.requests import Request
from chainrule.text.start_end import Start

Kind = Literal["replace", "start", "cut"]


@dataclass(frozen=True)
class Change:
    """One change. `count` and `tokens` are of the kinds that they name."""

    kind: Kind
    position: int = 0  # replace: of the token that is replaced
    tokens: tuple[int, ...] = ()  # replace: those in its place
    start: Start | None = None  # start: the new start symbol
    count: int = 0  # cut: the tokens that are cut off

    def label(self, tokens: Tokens, score: Score) -> str:
        """The change in one line."""
        if self.kind == "cut":
            return f"the first {'token' if self.count == 1 else f'{self.count} tokens'} cut off"
        if self.kind == "start":
            return f"start symbol: {_symbol(tokens, self.start)}"
        old = tokens.names[str(tokens.add(int(sequence_of(score)[self.position])))]
        new = " ".join(tokens.names[str(id)] for id in tokens.all(self.tokens))
        return f"x_{self.position}: {old} → {new}"


def _symbol(tokens: Tokens, start: Start | None) -> str:
    if start is None or start.id is None:
        return "none (the first token is given)"
    return f"{tokens.names[str(tokens.add(start.id))]} ({start.policy})"


@dataclass(frozen=True)
class Changed:
    """The text after a change: its tokens without the end symbol, how many of them are given, and its start symbol."""

    ids: Ints
    given: int
    start: Start

    @property
    def factors(self) -> int:
        """The number of its factors, without that of the end symbol."""
        return len(self.ids) - max(self.given, self.start.id is None)

    @property
    def repeats_start(self) -> bool:
        """Whether it begins with the start symbol itself, which then occurs twice."""
        return len(self.ids) > 0 and int(self.ids[0]) == self.start.id

    @property
    def request(self) -> Request:
        return Request(self.ids[self.given :], self.ids[: self.given])


def given_of(score: Score) -> int:
    """The number of first tokens that are given as a context; not a first token that is given in place of a start symbol."""
    context, first = len(score.request.context_ids), int(positions_of(score).min())
    return context if first == max(context, score.start.id is None) else first


def applied(score: Score, change: Change) -> Changed:
    """The text of a score after a change."""
    ids, given = sequence_of(score), given_of(score)
    same = Changed(ids[: len(ids) - (score.end is not None)], given, score.start)
    if change.kind == "cut":
        return replace(same, ids=same.ids[change.count :], given=max(0, given - change.count))
    if change.kind == "start":
        return replace(same, start=change.start or score.start)
    before, after = same.ids[: change.position], same.ids[change.position + 1 :]
    longer = (len(change.tokens) - 1) * (change.position < given)
    return replace(same, ids=np.concatenate([before, np.array(change.tokens, np.int64), after]), given=given + longer)


def requested(lm: Language, score: Score, wanted: Mapping[str, Any]) -> Change:
    """The change that a client asks for, as the members of an object of JSON. Raises InputError.

    {"kind": "replace", "position": p, "token": a text or an id}, {"kind": "start", "start": as in `score`}, or
    {"kind": "cut", "tokens": n}
    """
    kind, length = wanted.get("kind"), len(sequence_of(score)) - (score.end is not None)
    if kind == "replace":
        position = _whole(wanted.get("position"), "position", 0, length - 1)
        change = Change("replace", position, _ids(lm, wanted.get("token"), position))
    elif kind == "start":
        start: Any = wanted.get("start")
        change = Change("start", start=lm.scorer.start(start))
    elif kind == "cut":
        change = Change("cut", count=_whole(wanted.get("tokens"), "tokens", 1, length - 1))
    else:
        raise InputError(f"the kind of a change is 'replace', 'start' or 'cut', not {short(kind)}")
    if applied(score, change).factors < 1:
        raise InputError("nothing is left to score after this change: take a longer text")
    return change


def _whole(number: Any, name: str, low: int, high: int) -> int:
    if not is_whole(number, low, high):
        raise InputError(f"{name} must be a whole number from {low} to {high}, not {short(number)}")
    return int(number)


def _ids(lm: Language, token: Any, position: int) -> tuple[int, ...]:
    """The ids of a token, or of a text of one or more tokens."""
    if not isinstance(token, str):
        return (_whole(token, "token", 0, lm.model.head.size - 1),)
    if lm.tokenizer is None:
        raise InputError("this model has no tokenizer, so a token is given by its id")
    [ids] = (lm.tokenizer.encode_continuations if position else lm.tokenizer.encode_batch)([token])
    if not len(ids):
        raise InputError("an empty text has no token to put there: cut= leaves tokens out")
    return tuple(map(int, ids))
