"""Scores as readings: the plain data of a page, with an entry for each factor in the order of prediction."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from chainrule._types import Floats, Ints
from chainrule.pages.recomputed import TOP, columns_of
from chainrule.pages.tokens import Tokens
from chainrule.results import units
from chainrule.results.explanation import Explanation, running_sums
from chainrule.results.numbers import probability
from chainrule.results.pseudo import NO_PROBABILITY, PseudoScore
from chainrule.results.score import Score
from chainrule.text.base import TokenizerLike
from chainrule.text.requests import Request


def reading(tokens: Tokens, score: Score, *, embedded: Floats | None = None, top: int = TOP) -> dict[str, Any]:
    """The reading of a score. Infinities are floats: see `strict`.

    embedded: its factors computed from embeddings, in the order of the text. top: the most alternatives of a factor.
    """
    explanation, columns = Explanation(score), columns_of(score)
    condition, *remarks = explanation.head().split("\n")
    factors, start = explanation.factors, score.start
    return {
        "text": score.text,
        "kind": score.kind,
        "whole": explanation.whole(),
        "condition": condition,
        "remarks": remarks,
        "start": {
            "t": None if start.id is None else tokens.add(start.id),
            "policy": start.policy,
            "description": start.describe(),
        },
        **_sequence(tokens, score.request, score.tokenizer, has_end=score.end is not None),
        "order": None if score.ordering is None else score.ordering.order.tolist(),
        "position": [factor.position for factor in factors],
        "known": _known(score, columns),
        "contexts": [factor.context for factor in factors],
        "logprob": [factor.logprob for factor in factors],
        "probability": [factor.probability for factor in factors],
        "surprisal_bits": score.surprisals_bits[columns].tolist(),
        "entropy_bits": score.entropies_bits[columns].tolist(),
        "rank": [factor.rank for factor in factors],
        "running_logprob": [factor.running_logprob for factor in factors],
        "running_probability": [probability(factor.running_logprob) for factor in factors],
        "top": alternatives(tokens, score.top_ids[columns, :top], score.top_logprobs[columns, :top]),
        "by_embeddings": None if embedded is None else embedded[columns].tolist(),
        "total": {
            "logprob": score.logprob,
            "probability": probability(score.logprob),
            "perplexity": score.perplexity,
            "bits": score.bits,
            "bits_per_byte": score.bits_per_byte,
        },
    }


def pseudo_reading(tokens: Tokens, pseudo: PseudoScore) -> dict[str, Any]:
    """The reading of a pseudo-log-likelihood: a score, which is never called a probability. Infinities are floats.

    Each term is conditioned on all other tokens; on those to the right in the same word only if `within_words` is false.
    """
    given, logprobs = len(pseudo.request.context_ids), pseudo.term_logprobs.tolist()
    known = _others(pseudo)
    return {
        "text": pseudo.text,
        "kind": "pseudo",
        "whole": "pseudo-log-likelihood",
        "condition": "each token is predicted from all other tokens",
        "remarks": [NO_PROBABILITY],
        "start": {"t": None, "policy": "none", "description": ""},
        **_sequence(tokens, pseudo.request, pseudo.tokenizer),
        "order": None,
        "position": list(range(given, given + len(pseudo))),
        "known": known,
        "contexts": list(map(len, known)),
        "logprob": logprobs,
        "probability": list(map(math.exp, logprobs)),
        "surprisal_bits": list(map(units.bits, logprobs)),
        "entropy_bits": None,
        "rank": None,
        "running_logprob": list(running_sums(logprobs)),
        "running_probability": None,
        "top": None,
        "by_embeddings": None,
        "total": {
            "logprob": pseudo.pll_nats,
            "probability": None,
            "perplexity": None,
            "bits": units.bits(pseudo.pll_nats),
            "bits_per_byte": None,
        },
    }


def alternatives(tokens: Tokens, ids_Tk: Iterable[Any], logprobs_Tk: Iterable[Any]) -> list[Any] | None:
    """[token, log Pr, Pr] of the alternatives of each factor; None without any."""
    rows = [
        [[tokens.add(id), logprob, math.exp(logprob)] for id, logprob in zip(ids.tolist(), logprobs.tolist(), strict=True)]
        for ids, logprobs in zip(ids_Tk, logprobs_Tk, strict=True)
    ]
    return rows if rows and rows[0] else None


def _sequence(tokens: Tokens, request: Request, tokenizer: TokenizerLike | None, *, has_end: bool = False) -> dict[str, Any]:
    """The members of a reading for its positions."""
    ids = np.concatenate([request.context_ids, request.ids])
    return {
        "sequence": tokens.all(ids.tolist()),
        "pieces": pieces(request, tokenizer, has_end=has_end),
        "given": len(request.context_ids),
    }


def pieces(request: Request, tokenizer: TokenizerLike | None, *, has_end: bool = False) -> list[str] | None:
    """The part of the context or the text at each position. Joined, they are the context and the text.

    A character of several tokens belongs to the first of them. None if there is no text for some tokens, and for pairs.
    """
    parts = [(request.context, request.context_ids), (request.text, request.ids[: len(request.ids) - has_end])]
    if tokenizer is None or request.segments or any(text is None and len(ids) for text, ids in parts):
        return None
    return [*(piece for text, ids in parts if text for piece in _pieces(text, ids, tokenizer)), *[""] * has_end]


def _pieces(text: str, ids: Ints, tokenizer: TokenizerLike) -> list[str]:
    if not len(ids):
        return []
    stops = np.maximum.accumulate([stop for _, stop in tokenizer.spans(text, ids).char_spans]).tolist()
    stops[-1] = len(text)
    return [text[begin:stop] for begin, stop in zip([0, *stops], stops, strict=False)]


def _known(score: Score, columns: Ints) -> list[list[int]] | None:
    """The positions that each factor is conditioned on; None if they are those before it."""
    if score.ordering is None or score.ordering.left_to_right:
        return None
    return [score.context_positions(column).tolist() for column in columns.tolist()]


def _others(pseudo: PseudoScore) -> list[list[int]]:
    """The positions that each term of a pseudo-log-likelihood is conditioned on."""
    given, length = len(pseudo.request.context_ids), len(pseudo.request.context_ids) + len(pseudo)
    words: Sequence[int] = range(len(pseudo))
    if pseudo.within_words and pseudo.tokenizer is not None and pseudo.request.text is not None:
        words = pseudo.tokenizer.words(pseudo.request.text, pseudo.request.ids).tolist()
    hides = lambda t, p: p >= given + t and words[p - given] == words[t]  # noqa: E731
    return [[p for p in range(length) if not hides(t, p)] for t in range(len(pseudo))]
