"""The units in which log probabilities are given: of each token, and of a whole text."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from chainrule._types import Floats
from chainrule.results.comparison import Cause

LN2, LN10 = math.log(2), math.log(10)


@dataclass(frozen=True)
class Unit:
    """A function of the log probabilities of the tokens, in nats. `whole`: its value is one number for the text."""

    name: str
    of: Callable[[Floats], Floats]
    cause: Cause | None = None  # None: log probabilities in nats, as ours
    whole: bool = False
    nats: Callable[[Floats], Floats] | None = None  # the inverse of `of`, if each number depends on one token


def _scaled(factor: float, logprobs: Floats) -> Floats:
    return logprobs * factor


def _exp(factor: float, logprobs: Floats) -> Floats:
    with np.errstate(over="ignore"):
        return np.exp(logprobs * factor)


def _sum(of: Callable[[Floats], Floats], logprobs: Floats) -> Floats:
    return of(np.array([math.fsum(logprobs.tolist())]))


def _mean(of: Callable[[Floats], Floats], logprobs: Floats) -> Floats:
    return of(np.array([math.fsum(logprobs.tolist()) / len(logprobs)]))


def _cause(name: str, description: str, remedy: str) -> Cause:
    return Cause(name, f"the numbers are {description}", remedy)


def _log(factor: float, values: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(values) * factor


def _linear(name: str, factor: float, cause: Cause | None = None) -> Unit:
    return Unit(name, partial(_scaled, factor), cause, nats=partial(_scaled, 1 / factor))


def _exponential(name: str, factor: float, cause: Cause) -> Unit:
    return Unit(name, partial(_exp, factor), cause, nats=partial(_log, 1 / factor))


NATS = _linear("nats", 1.0)
TOKEN_UNITS = (
    NATS,
    _linear("nats", -1.0, _cause("opposite sign", "−log Pr (surprisals, losses), in nats", "negate them")),
    _linear(
        "bits",
        -1 / LN2,
        _cause("surprisals in bits", "−log2 Pr", "multiply by −ln 2 = −0.6931, or compare with score.surprisals_bits"),
    ),
    _linear("bits", 1 / LN2, _cause("base 2", "log2 Pr", "multiply by ln 2 = 0.6931")),
    _linear("bans", 1 / LN10, _cause("base 10", "log10 Pr", "multiply by ln 10 = 2.3026")),
    _linear("bans", -1 / LN10, _cause("surprisals in base 10", "−log10 Pr", "multiply by −ln 10 = −2.3026")),
    _exponential("probability", 1.0, _cause("probabilities", "probabilities, not their logarithms", "take their log")),
    _exponential("1/probability", -1.0, _cause("perplexities", "1 / Pr", "take −log of them")),
    Unit(
        "nats",
        np.cumsum,
        _cause(
            "running sum", "log Pr of the text up to each token", "take the differences, or compare the running sum of ours"
        ),
    ),
)
_WHOLE = (
    NATS,
    Unit("nats", partial(_scaled, -1.0), _cause("opposite sign", "−log Pr of the text, in nats", "negate it")),
    Unit("bits", partial(_scaled, -1 / LN2), _cause("bits", "−log2 Pr of the text", "compare with score.bits")),
    Unit("bits", partial(_scaled, 1 / LN2), _cause("base 2", "log2 Pr of the text", "multiply by ln 2 = 0.6931")),
    Unit("bans", partial(_scaled, 1 / LN10), _cause("base 10", "log10 Pr of the text", "multiply by ln 10 = 2.3026")),
    Unit("probability", partial(_exp, 1.0), _cause("probability", "Pr of the text, not its logarithm", "take its log")),
)
_MEANS = (
    Unit(
        "nats per token",
        partial(_scaled, -1.0),
        _cause("mean loss", "the mean of −log Pr of the tokens (the loss of transformers)", "multiply by −(number of tokens)"),
    ),
    Unit(
        "nats per token",
        partial(_scaled, 1.0),
        _cause("mean", "the mean of log Pr of the tokens, not the sum", "multiply by the number of tokens"),
    ),
    Unit(
        "perplexity",
        partial(_exp, -1.0),
        _cause("perplexity", "exp of the mean of −log Pr", "compare with score.perplexity"),
    ),
    Unit(
        "bits per token",
        partial(_scaled, -1 / LN2),
        _cause("mean surprisal in bits", "the mean of −log2 Pr of the tokens", "compare with score.bits / len(score)"),
    ),
    Unit(
        "probability",
        partial(_exp, 1.0),
        _cause("geometric mean", "the geometric mean of the probabilities of the tokens", "compare with 1 / score.perplexity"),
    ),
)
TEXT_UNITS = (
    *(Unit(unit.name, partial(_sum, unit.of), unit.cause, whole=True) for unit in _WHOLE),
    *(Unit(unit.name, partial(_mean, unit.of), unit.cause, whole=True) for unit in _MEANS),
)


def per_size_units(size: int, what: str, name: str) -> tuple[Unit, ...]:
    """Bits per byte or character, and nats: of a text that has `size` of them."""
    if not size:
        return ()
    return tuple(
        Unit(
            f"{unit} per {what}",
            partial(_sum, partial(_scaled, factor / size)),
            _cause(f"{unit} per {what}", f"{formula} of the text divided by its {size} {name}", f"multiply by {size}, {also}"),
            whole=True,
        )
        for unit, factor, formula, also in (
            ("bits", -1 / LN2, "−log2 Pr", "or compare with score.bits_per_byte"),
            ("nats", -1.0, "−log Pr", "and negate"),
        )
    )
