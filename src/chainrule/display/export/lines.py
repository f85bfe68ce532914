"""What all forms of an exported explanation show: heads, one line per factor, the total, and the notes below."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from chainrule.display.export.visible import SPACE, line, visible
from chainrule.results import units
from chainrule.results.columns import Row
from chainrule.results.explanation import Explanation
from chainrule.results.numbers import decimal, probability
from chainrule.results.schema import unit
from chainrule.text.base import token_formatter

_NATS = unit(Row.SEQUENCE, "logprob")
# The heads of the columns, each with its unit
FACTOR, TOKEN, PROBABILITY, RANK, ALTERNATIVES = (
    ("factor", ""),
    ("token", ""),
    ("probability", ""),
    ("rank", ""),
    ("most probable", ""),
)
SURPRISAL, LOG, RUNNING = ("surprisal", unit(Row.TOKEN, "surprisal_bits")), ("log Pr", _NATS), ("running sum", _NATS)
_BIT_DIGITS = 3
_ALTERNATIVE_DIGITS = 3
_LONGEST = 300  # characters of a text in a caption


@dataclass(frozen=True)
class Line:
    """One factor, in plain characters."""

    formula: str
    token: str
    probability: str
    surprisal: str
    logprob: str
    running: str
    rank: str
    alternatives: list[tuple[str, str]]  # tokens and probabilities; empty without top=
    share: float  # the length of the bar: the surprisal as a share of the largest one that is finite, at most 1


class Exported:
    """An explanation as lines of plain characters, of which HTML, SVG and LaTeX are made."""

    def __init__(self, explanation: Explanation) -> None:
        self.explanation, self.score = explanation, explanation.score

    @cached_property
    def lines(self) -> list[Line]:
        surprisals = [units.bits(f.logprob) for f in self.explanation.factors]
        most = max((bits for bits in surprisals if math.isfinite(bits)), default=0.0)
        return [
            Line(
                formula=f.formula,
                token=self._visible(int(self.score.ids[column])),
                probability=probability(f.logprob),
                surprisal=decimal(bits, _BIT_DIGITS),
                logprob=decimal(f.logprob),
                running=decimal(f.running_logprob),
                rank=str(self.score.ranks[column]),
                alternatives=self._alternatives(column),
                share=min(bits / most, 1.0) if most and math.isfinite(bits) else float(bits > 0),
            )
            for f, column, bits in zip(self.explanation.factors, self._columns, surprisals, strict=True)
        ]

    @cached_property
    def total(self) -> Line:
        """The product of the factors, and the sums of their logs."""
        logprob = self.score.logprob
        bits = decimal(units.bits(logprob), _BIT_DIGITS)
        log = decimal(logprob)
        return Line(self.explanation.whole(), "", probability(logprob), bits, log, "", "", [], 0.0)

    @property
    def _columns(self) -> list[int]:
        """The column of the score that each factor comes from."""
        ordering = self.score.ordering
        return list(range(len(self.score))) if ordering is None else np.argsort(ordering.steps).tolist()

    @property
    def has_alternatives(self) -> bool:
        return any(each.alternatives for each in self.lines)

    def caption(self, product: str) -> str:
        """What the table is. product: the total, written as the form of the document writes numbers."""
        count = len(self.lines)
        return f"{self.total.formula} = {product}, the product of {count} factor{'s' * (count != 1)}"

    @cached_property
    def text(self) -> str:
        """The text as one line; "" for token ids. A long one is shortened, with its length."""
        return _shortened(self.score.text)

    @cached_property
    def notes(self) -> list[str]:
        """Lines below the table: context, start symbol, order, remarks, model, and the meaning of the signs in tokens."""
        context = _shortened(self.score.context)
        return [
            *([f"context: {context}"] if context else []),
            *map(line, self.explanation.head().splitlines()),
            line(f"model: {self.score.source}"),
            *self._signs(),
        ]

    def _signs(self) -> list[str]:
        tokens = [token for each in self.lines for token in (each.token, *(token for token, _ in each.alternatives))]
        meanings = {SPACE: f"{SPACE} is a space", "\\": "\\ begins an escape, as in Python"}
        used = [meaning for sign, meaning in meanings.items() if any(sign in token for token in tokens)]
        return [f"in tokens, {' and '.join(used)}"] if used else []

    def _visible(self, id: int) -> str:
        tokenizer = self.score.tokenizer
        return visible(token_formatter(tokenizer)(id), tokenizer.token_bytes(id) if tokenizer and id >= 0 else b"")

    def _alternatives(self, column: int) -> list[tuple[str, str]]:
        pairs = zip(self.score.top_ids[column].tolist(), self.score.top_logprobs[column].tolist(), strict=True)
        return [(self._visible(id), probability(logprob, _ALTERNATIVE_DIGITS)) for id, logprob in pairs]


def _shortened(text: str | None) -> str:
    if not text or len(text) <= _LONGEST:
        return line(text or "")
    return f"{line(text[:_LONGEST])} … ({len(text)} characters)"
