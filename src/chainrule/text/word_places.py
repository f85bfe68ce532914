"""The places between tokens at which words begin and end, and the sets of tokens that decide whether they do.

Shapes: B tokens of all texts, W words of all texts, L tokens of one text, K sets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from chainrule._types import Bools, Ints
from chainrule.text.align import Span
from chainrule.text.requests import Request
from chainrule.text.token_sets import NO_SETS, TokenSets
from chainrule.text.word_starts import WordStarts
from chainrule.text.word_tokens import WordTokens
from chainrule.text.words import UNICODE

_SEEN = 40  # characters before a place that are read


@dataclass(frozen=True)
class WordPlaces:
    """For each word the place before its first token and the place after its last one."""

    sets: TokenSets
    set_W2: Ints  # the set that decides at each place; −1: any token begins a word there, or the place is within a word
    unmarked_W: Bools  # whether a token begins a word in the text, and does not by the rule: that place has no set


def word_places(
    rule: WordStarts, requests: Sequence[Request], tokens: WordTokens, spans: Sequence[Sequence[Span]]
) -> WordPlaces:
    """The places of all words. requests: of the texts; spans: of their words."""
    sets, set_W2 = _Sets(rule), np.full((len(tokens.count_W), 2), -1, np.int64)
    unmarked_W = np.zeros(len(set_W2), bool)
    word = base = 0
    for request, own in zip(requests, spans, strict=True):
        text = _Text(request, tokens.stop_B[base : base + len(request.ids)], sets)
        for w in range(word, word + len(own)):
            if tokens.count_W[w]:
                first = int(tokens.first_W[w]) - base
                places = (first, tokens.cut_left_W[w]), (first + int(tokens.count_W[w]), tokens.cut_right_W[w])
                for side, (place, cut) in enumerate(places):
                    if not cut:
                        set_W2[w, side], unmarked = text.at(place)
                        unmarked_W[w] |= unmarked
        word, base = word + len(own), base + len(request.ids)
    return WordPlaces(sets.all(), set_W2, unmarked_W)


class _Sets:
    """The sets that are in use, numbered as they are met."""

    def __init__(self, rule: WordStarts) -> None:
        self.rule, self.numbers, self.members = rule, {}, []

    def number(self, name: str) -> int:
        """The number of a set; −1 if no token is in it, so that the rule cannot tell words apart."""
        if name not in self.numbers:
            ids = self.rule.ids(name)
            self.numbers[name] = len(self.members) if len(ids) else -1
            self.members += [ids] if len(ids) else []
        return self.numbers[name]

    def has(self, number: int, id: int) -> bool:
        ids = self.members[number]
        at = int(np.searchsorted(ids, id))
        return at < len(ids) and ids[at] == id

    def all(self) -> TokenSets:
        return TokenSets.of(self.members, self.rule.size) if self.members else NO_SETS


@dataclass
class _Text:
    """One text. The last place is remembered, since it is the end of one word and the beginning of the next."""

    request: Request
    stop_L: Ints
    sets: _Sets
    last: tuple[int, tuple[int, bool]] = field(default=(-1, (-1, False)))

    def at(self, place: int) -> tuple[int, bool]:
        """The set that decides before token `place`, and whether the token there begins no word by the rule."""
        if place != self.last[0]:
            self.last = place, self._at(place)
        return self.last[1]

    def _at(self, place: int) -> tuple[int, bool]:
        name, ids = self._name(place), self.request.ids
        number = -1 if name is None else self.sets.number(name)
        if number >= 0 and place < len(ids) and not self.sets.has(number, int(ids[place])):
            return -1, True
        return number, False

    def _name(self, place: int) -> str | None:
        rule, text, ids, context_ids = self.sets.rule, self.request.text or "", self.request.ids, self.request.context_ids
        if place == 0 and not len(context_ids):
            return rule.at_start(rule.tokenizer.token_bytes(int(ids[0])))
        stop = 0 if place == 0 else int(self.stop_L[place - 1])
        before = (self.request.context or "")[-_SEEN:] + text[max(0, stop - _SEEN) : stop]
        if not before or (rule.units != UNICODE and not self._at_space(before, text[stop : stop + 1])):
            return None
        return rule.after(before, rule.tokenizer.token_bytes(int(context_ids[-1] if place == 0 else ids[place - 1])))

    @staticmethod
    def _at_space(before: str, next_character: str) -> bool:
        """Whether there is white space at a place of the text, or its end."""
        return before[-1].isspace() or not next_character or next_character.isspace()
