"""Conversions from nats. Logs are natural unless a name says otherwise."""

from __future__ import annotations

import math

LN2 = math.log(2)


def bits(logprob: float) -> float:
    """−log2 Pr, from log Pr in nats."""
    return -logprob / LN2 if logprob else 0.0


def perplexity(logprob: float, factors: int) -> float:
    """exp(−logprob / factors); infinite if the probability is 0 or the value is out of range."""
    try:
        return math.exp(-logprob / factors)
    except OverflowError:
        return math.inf


def bits_per_byte(logprob: float, size: int) -> float | None:
    """−log2 Pr per UTF-8 byte; None for a text of no bytes."""
    return bits(logprob) / size if size else None


def count(number: int, noun: str) -> str:
    """ "1 token", "2 tokens"."""
    return f"{number} {noun}{'s' * (number != 1)}"
