"""One way to compute the log probabilities of a text, as the arguments of `score`, and the numbers that it gives.

Shapes: N numbers of the call.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from chainrule._types import Floats, Ints
from chainrule.engine.predictors.base import Predictor
from chainrule.results.batch import Scores
from chainrule.results.pseudo import PseudoScore
from chainrule.text.base import TokenizerLike
from chainrule.text.start_end import Start


class Language(Protocol):
    """The parts of `chainrule.LanguageModel` that are used here."""

    tokenizer: TokenizerLike | None
    start: Start

    @property
    def model(self) -> Any: ...
    @property
    def predictor(self) -> Predictor: ...
    @property
    def score(self) -> Callable[..., Any]: ...
    @property
    def score_batch(self) -> Callable[..., Any]: ...
    @property
    def pseudo_log_likelihood(self) -> Callable[..., PseudoScore]: ...


@dataclass(frozen=True)
class ScoreCall:
    """The arguments of `score`, and what is read instead of the factors, if anything is."""

    text: Any
    context: Any = None
    start: str | int | None = None
    end: bool | int | None = None
    special: str | None = None
    context_special: str | None = None
    window: int | bool | None = None
    stride: int | None = None
    temperature: float | None = None
    unshifted: bool = False  # the probability of each token after itself: logits[i] read at token i
    pseudo: bool = False  # each token given all others

    def options(self) -> dict[str, Any]:
        names = ("context", "start", "end", "special", "context_special", "window", "stride", "temperature")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}


@dataclass(frozen=True, eq=False)
class Result:
    """The tokens and log probabilities of a call. `bytes` and `characters`: of the text. Entropies in nats, if computed."""

    ids_N: Ints
    logprob_N: Floats
    bytes: int = 0
    characters: int = 0
    entropy_N: Floats | None = None


def computed(lm: Language, call: ScoreCall) -> Result:
    """The numbers of a call. Raises ChainruleError if the model cannot compute them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about control symbols and repeated start symbols, which are tried on purpose
        if call.pseudo:
            terms = lm.pseudo_log_likelihood(call.text, context=call.context, special=call.special)
            return Result(terms.ids, terms.term_logprobs)
        score = lm.score(call.text, **call.options())
        text = score.text or ""
        if not call.unshifted:
            return Result(score.ids, score.logprobs, score.bytes, len(text), score.entropies)
        return Result(*_unshifted(lm, score))


def _unshifted(lm: Language, score: Any) -> tuple[Ints, Floats]:
    """log Pr(x_i | … x_i): the token of each position read from the distribution after it."""
    ids = np.concatenate([score.request.context_ids, score.request.ids])
    first = len(score.request.context_ids)
    contexts = [ids[: i + 1].tolist() for i in range(first, len(ids))]
    start = "given" if score.start.id is None else score.start.id
    scores: Scores = lm.score_batch([[int(i)] for i in ids[first:]], context=contexts, start=start)
    return score.request.ids, scores.logprobs
