"""Words: the factors of their tokens, and the probability that a word begins and ends where it does.

Tokenizers mark the beginning of words, so the tokens of a word do not say that it ends. The product of their factors is the
probability of all texts that go on with them, those with a longer word among them. The probability of the word itself is

    log Pr(word) = Σ log Pr(token) − log Z(before) + log Z(after),

where Z is the probability that the next token begins a word, or ends the text (`text.word_starts`; Pimentel and Meister 2024,
Oh and Schuler 2024). The end of one word is the beginning of the next, so only the first and the last Z of a text remain in
the sum over its words.

Shapes: S texts, B tokens of all texts, T factors, W words of all texts, K sets of tokens.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import regex

from chainrule._checks import is_whole
from chainrule._types import Floats, Ints
from chainrule._warnings import outside
from chainrule.engine.question import Settings
from chainrule.errors import InputError, short
from chainrule.forest.forest import offsets
from chainrule.results.batch import Scores
from chainrule.results.words import Words
from chainrule.scoring.assemble import score_requests
from chainrule.scoring.scorer import Scorer
from chainrule.scoring.text_ends import WithEnds
from chainrule.text.align import Span
from chainrule.text.arguments import describe, is_missing
from chainrule.text.base import token_formatter
from chainrule.text.reading import Reading
from chainrule.text.requests import Request, require_tokenizer
from chainrule.text.word_places import WordPlaces, word_places
from chainrule.text.word_starts import WordStarts
from chainrule.text.word_tokens import WordTokens, word_tokens
from chainrule.text.words import UNICODE, WHITESPACE, Units, spans_of_texts

CORRECTIONS = ("full", "none")
# Letters of scripts without spaces between words
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}。、，！？"
_SPACED = regex.compile(rf"[[\p{{L}}\p{{N}}\p{{P}}]--[{_UNSPACED}]]", regex.V1)


def word_scores(
    scorer: Scorer, texts: list[Any], contexts: list[Any], units: Units, settings: Settings, reading: Reading, *,
    start: str | int | None, correction: str, previous: int,
) -> Words:  # fmt: skip
    """The words of the texts with their log probabilities. Raises InputError, with the item, for texts without words."""
    if correction not in CORRECTIONS:
        raise InputError(f'correction must be "full" or "none", not {short(correction)}')
    if not is_whole(previous, 0):
        raise InputError(f"previous must be a whole number of words, 0 or more, not {short(previous)}")
    _check_texts(texts, contexts)
    requests, tokenizer = scorer.requests(texts, contexts, reading), require_tokenizer(scorer.tokenizer)
    spans, unit = spans_of_texts(texts, units)
    _warn_of_contexts(requests)
    tokens = word_tokens(tokenizer, texts, [request.ids for request in requests], spans)
    if correction == "none":
        scores = scorer.score(requests, settings, start=start, end=None)
        return _assembled(_Measured(scores, texts, spans, tokens), unit, None, previous)
    accepted = scorer.predictor.accepts.next_token
    if not accepted:
        raise InputError(f"{accepted.reason}; correction='none' needs no distribution of the next token")
    ends = scorer.end_ids
    rule = WordStarts(tokenizer, scorer.vocab_size, ends, UNICODE if units == UNICODE else WHITESPACE)
    places = word_places(rule, requests, tokens, spans)
    chosen, settings = scorer.start(start), replace(settings, sets=places.sets)
    with_ends = WithEnds.of(scorer.predictor, requests, chosen, settings, ends[0] if ends else 0)
    more = score_requests(scorer.predictor, tokenizer, with_ends.requests, chosen, None, settings)
    scores, at_end_SK = with_ends.split(more)
    return _assembled(_Measured(scores, texts, spans, tokens, places, at_end_SK), unit, rule.name, previous)


def _check_texts(texts: Sequence[Any], contexts: Sequence[Any]) -> None:
    for item, (text, context) in enumerate(zip(texts, contexts, strict=True)):
        if not isinstance(text, str):
            missing = f"the text is missing ({text}): remove the item, or replace it with a text"
            raise InputError(missing if is_missing(text) else f"words are parts of texts, not of {describe(text)}", item)
        if not (is_missing(context) or isinstance(context, str)):
            raise InputError(f"the context of words must be a text, not {describe(context)}", item)


def _warn_of_contexts(requests: Sequence[Request]) -> None:
    """Warn of a text that goes on with the last word of its context."""
    for request in requests:
        before, text = request.context or "", request.text or ""
        if _SPACED.fullmatch(before[-1:]) and _SPACED.fullmatch(text[:1]):
            warnings.warn(
                f"the text {short(text)} begins directly after its context, {short(before[-20:])}, without white space: if its "
                "first word is not the end of that word, begin the text with a space",
                stacklevel=outside(),
            )
            return


@dataclass(frozen=True)
class _Measured:
    """Scored texts with their words."""

    scores: Scores
    texts: list[str]
    spans: Sequence[Sequence[Span]]
    tokens: WordTokens
    places: WordPlaces | None = None
    at_end_SK: Floats = field(default_factory=lambda: np.zeros((0, 0)))  # log Z of each set after the last token

    @cached_property
    def text_W(self) -> Ints:
        """The number of the text of each word."""
        return np.repeat(np.arange(len(self.texts)), [len(own) for own in self.spans])

    @cached_property
    def first_W(self) -> Ints:
        """The factor of the first token of each word; −1 for a word without one."""
        ids_S = np.array([len(request.ids) for request in self.scores.requests], np.int64)
        given_S = ids_S - self.scores.tokens  # 1 for a first token without a factor
        local_W = self.tokens.first_W - (offsets(ids_S)[:-1] + given_S)[self.text_W]
        known_W = (self.tokens.count_W > 0) & (local_W >= 0)
        return np.where(known_W, local_W + self.scores.offsets[:-1][self.text_W], -1)

    def set_logprobs(self) -> tuple[Floats, Floats]:
        """log Z before and after each word; 0 where any token begins a word."""
        before_W, after_W = np.zeros(len(self.first_W)), np.zeros(len(self.first_W))
        if self.places is None:
            return before_W, after_W
        mass_TK, known_W = self.scores.set_logprobs, self.first_W >= 0
        for values_W, set_W, place_W in (
            (before_W, self.places.set_W2[:, 0], self.first_W),
            (after_W, self.places.set_W2[:, 1], self.first_W + self.tokens.count_W),
        ):
            at_end_W = place_W == self.scores.offsets[1:][self.text_W]
            inside, at_end = (known_W & (set_W >= 0) & where for where in (~at_end_W, at_end_W))
            values_W[inside] = mass_TK[place_W[inside], set_W[inside]]
            values_W[at_end] = self.at_end_SK[self.text_W[at_end], set_W[at_end]]
        return before_W, after_W


def _assembled(measured: _Measured, unit: str, rule: str | None, previous: int) -> Words:
    tokens, scores, first_W, count_W = measured.tokens, measured.scores, measured.first_W, measured.tokens.count_W
    known = np.flatnonzero(first_W >= 0)
    uncorrected_W, entropy_W = np.full(len(first_W), np.nan), np.full(len(first_W), np.nan)
    bounds = zip(first_W[known].tolist(), (first_W + count_W)[known].tolist(), strict=True)
    uncorrected_W[known] = [math.fsum(scores.logprobs[first:stop].tolist()) for first, stop in bounds]
    entropy_W[known] = scores.entropies[first_W[known]]
    before_W, after_W = measured.set_logprobs()
    with np.errstate(invalid="ignore"):  # an impossible word stays impossible
        logprob_W = np.where(uncorrected_W == -np.inf, -np.inf, uncorrected_W - before_W + after_W)
    bound_W2 = np.array([span for own in measured.spans for span in own], np.int64)
    ids_B, name = np.concatenate([request.ids for request in scores.requests]), token_formatter(scores.tokenizer)
    unmarked = [] if measured.places is None else np.flatnonzero(measured.places.unmarked_W).tolist()
    return Words(
        scores=scores,
        count_S=np.array([len(own) for own in measured.spans], np.int64),
        begin=bound_W2[:, 0],
        stop=bound_W2[:, 1],
        first=first_W,
        tokens=count_W,
        logprob=logprob_W,
        logprob_uncorrected=uncorrected_W,
        entropy=entropy_W,
        crossing={w: [name(int(ids_B[b])) for b in own] for w, own in tokens.crossing.items()},
        unmarked=frozenset(unmarked),
        unit=unit,
        rule=rule,
        previous=previous,
    )
