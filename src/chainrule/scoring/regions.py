"""The characters of the tokens of scored texts, for regions."""

from __future__ import annotations

from chainrule._types import Ints
from chainrule.errors import InputError
from chainrule.results.batch import Scores
from chainrule.text.spans import char_spans


def token_characters(scores: Scores) -> list[tuple[Ints, Ints]]:
    """Of each text, the first character of every token and one past the last: of given tokens too, not of an end symbol.

    Raises InputError, with the number of the sequence, for a sequence that has no text.
    """
    has_end = scores.end is not None
    for s, request in enumerate(scores.requests):
        if request.text is None or request.segments:
            raise InputError("a region is a part of a text, and this is none: pass texts", s)
    if scores.tokenizer is None or not len(scores):
        return []
    bodies = [request.ids[: len(request.ids) - has_end] for request in scores.requests]
    begin_T, stop_T = char_spans(scores.tokenizer, [request.text or "" for request in scores.requests], bodies)
    spans, at = [], 0
    for body in bodies:
        spans.append((begin_T[at : at + len(body)], stop_T[at : at + len(body)]))
        at += len(body)
    return spans


def given_tokens(scores: Scores, s: int) -> int:
    """The number of tokens of sequence s that are given: 1 for the first token without a start symbol and context, else 0."""
    return len(scores.requests[s].ids) - int(scores.tokens[s])
