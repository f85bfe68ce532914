"""Generation step by step: how a text grows by one token after another, by each method."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from chainrule._checks import is_whole
from chainrule.engine.question import Progress
from chainrule.errors import InputError, raise_unless, short
from chainrule.generation.generate import generate
from chainrule.generation.options import Method, Options
from chainrule.generation.result import Generated, Step
from chainrule.generation.spelling import special_of
from chainrule.pages.language import Language
from chainrule.pages.readings import alternatives
from chainrule.pages.recomputed import sequence_of
from chainrule.pages.tokens import Tokens
from chainrule.results.explanation import running_sums
from chainrule.results.numbers import probability
from chainrule.results.score import Score
from chainrule.text.requests import Request

BUDGET = 100  # contexts of the search for the most probable text: a few seconds for a small model
MOST = 1000  # tokens
TOP = 5
_SHOWN = 8  # tokens of the context

_RULES: dict[str, str] = {
    "greedy": "argmax Pr(x_n | …): the most probable token at each step",
    "best": "argmax of the whole product over all texts of {length}",
    "beam": "the {beams} most probable beginnings are kept at each step",
    "sample": "each token is drawn at random, with its probability Pr(x_n | …)",
}


def growths(
    lm: Language,
    tokens: Tokens,
    score: Score,
    method: Method | None = None,
    max_tokens: int = 8,
    seed: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """The text of a score, continued by one method, or by "greedy", "best" and "beam" (None), as plain data.

    All texts have `max_tokens` tokens, or as many as fit into the context of the model; if one of them contains the end symbol,
    each may end there. seed: for "sample". progress: called with each new token. Raises InputError if the model does not
    predict the next token, or if the text fills its context.
    """
    raise_unless(lm.predictor.accepts.next_token)
    context = _context(lm, score)
    max_tokens = _fitting(lm, score, context, max_tokens)
    methods: list[Method] = ["greedy", "best", "beam"] if method is None else [method]
    options = [replace(_options(lm, each, max_tokens, seed, score.temperature), on_token=_caller(progress)) for each in methods]
    grow = lambda end: [generate(lm.scorer, context, score.start, end, None, each)[0] for each in options]  # noqa: E731
    found, ends = grow(False), set(lm.scorer.end_ids)
    if any(ends & set(grown.ids.tolist()) for grown in found):
        found = grow(None)
    length = f"{max_tokens} tokens" + (", or fewer with the end symbol" if any(g.end is not None for g in found) else "")
    return {
        "context": tokens.all(context.ids[-_SHOWN:]),
        "max_tokens": max_tokens,
        "methods": [_growth(tokens, *both, length) for both in zip(methods, found, strict=True)],
    }


def check_max_tokens(max_tokens: Any) -> None:
    """Raises InputError unless texts can grow by so many tokens."""
    if not is_whole(max_tokens, 1, MOST):
        raise InputError(f"max_tokens must be a whole number from 1 to {MOST:,}, not {short(max_tokens)}")


def _fitting(lm: Language, score: Score, context: Request, max_tokens: int) -> int:
    """The number of tokens that fit into the context of the model, at least 1, and at most `max_tokens`."""
    limit = lm.model.max_rows
    before = len(context.ids) + (score.start.id is not None)
    return max_tokens if limit is None else max(1, min(max_tokens, limit - before + 1))


def _context(lm: Language, score: Score) -> Request:
    """The text with its context, and without an end symbol, as a context."""
    ids = sequence_of(score)
    ids = ids[: len(ids) - (score.end is not None)]
    whole = score.context is not None or not len(score.request.context_ids)
    text = (score.context or "") + score.text if whole and score.text is not None and not score.request.segments else None
    return Request(ids, text=text, special=None if text is None else special_of(ids.tolist(), lm.tokenizer))


def _options(lm: Language, method: Method, max_tokens: int, seed: int | None, temperature: float) -> Options:
    of_method: dict[str, Any] = {"sample": {"seed": seed, "temperature": temperature}, "best": {"budget": BUDGET}}
    top = min(TOP, lm.model.head.size)
    return Options(method=method, max_tokens=max_tokens, top=top, **of_method.get(method, {}))


def _caller(progress: Progress | None) -> Callable[[Step], None] | None:
    return None if progress is None else lambda step: progress(step.step + 1, step.step + 1)


def _growth(tokens: Tokens, method: Method, grown: Generated, length: str) -> dict[str, Any]:
    """One text that has grown, with a step for each token."""
    logprobs, proof = grown.logprobs.tolist(), grown.certificate
    running = list(running_sums(logprobs))
    return {
        "method": method,
        "rule": _RULES[method].format(length=length, beams=grown.method.removeprefix("beam of ")),
        "description": grown.describe(),
        "t": tokens.all(grown.ids),
        "logprob": logprobs,
        "probability": list(map(math.exp, logprobs)),
        "running_logprob": running,
        "running_probability": list(map(probability, running)),
        "rank": grown.ranks.tolist(),
        "top": alternatives(tokens, grown.top_ids, grown.top_logprobs),
        "total_logprob": grown.logprob,
        "text": grown.text or "",
        "certificate": None
        if proof is None
        else {
            "certain": bool(proof.certain),
            "contexts": int(proof.contexts),
            "logprob_bound": float(proof.logprob_bound),
        },
    }
