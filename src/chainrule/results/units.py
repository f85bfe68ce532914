"""From nats to what people read. Logs are natural unless a name says otherwise."""

from __future__ import annotations

import math

LN2 = math.log(2)


def bits(logprob: float) -> float:
    """−log2 Pr."""
    return -logprob / LN2 if logprob else 0.0


def perplexity(logprob: float, factors: int) -> float:
    """exp(−logprob / factors); infinite where the probability is 0 or the number is out of range."""
    try:
        return math.exp(-logprob / factors)
    except OverflowError:
        return math.inf


def bits_per_byte(logprob: float, size: int) -> float | None:
    """−log2 Pr per UTF-8 byte; None where there is no byte."""
    return bits(logprob) / size if size else None
