"""The factors of one text in full: Pr(x_2 | e_0, e_1) = 0.083 …"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np

from chainrule.models.identity import Identity
from chainrule.results.document import Document
from chainrule.results.provenance import WithWindow
from chainrule.results.score import Score
from chainrule.results.units import count

_MOST_NAMED = 3  # embeddings named in a formula, left to right; the others become …
_MOST_IN_ORDER = 8  # the same in any other order; more, because the first and the last do not determine the others
_MOST_FACTORS = 8  # factors in the formula of the whole product


@dataclass(frozen=True)
class Factor:
    """One factor, Pr(x_i | e_…), and the running product. Logs are in nats."""

    formula: str
    token: str
    logprob: float
    running_logprob: float
    context: int

    @property
    def probability(self) -> float:
        return math.exp(self.logprob)


class Explanation(WithWindow, Document):
    """Every factor of a score with the running product. `str()` gives lines of text; Rich draws bars."""

    def __init__(self, score: Score) -> None:
        self.score = score
        columns = np.arange(len(score)) if score.ordering is None else np.argsort(score.ordering.steps)
        running = accumulate(score.logprobs[columns].tolist())
        self.factors = [
            Factor(formula(score, i), score.tokens[i], float(score.logprobs[i]), total, int(score.contexts[i]))
            for i, total in zip(columns.tolist(), running, strict=True)
        ]

    def __repr__(self) -> str:
        return f"Explanation({self.total()}, {count(len(self.factors), 'factor')}, {self.score.label})"

    @property
    def identity(self) -> Identity:
        return self.score.identity

    @property
    def window(self) -> int | None:
        return self.score.window

    def __str__(self) -> str:
        wide = max(len(f.formula) for f in self.factors)
        name = max(len(repr(f.token)) for f in self.factors)
        lines = [
            f"{f.formula:<{wide}} = {f.probability:<11.6g} {f.token!r:<{name}}"
            f"  log {f.logprob:>11.6f}   so far {f.running_logprob:>12.6f}"
            for f in self.factors
        ]
        return "\n".join([self.head(), *lines, *self.product(), self.total()])

    def head(self) -> str:
        """The condition of the first factor, the order if one was requested, and the remarks of the score."""
        return "\n".join([self._condition(), *self.score.remarks])

    def _condition(self) -> str:
        start, ordering = self.score.start, self.score.ordering
        if ordering is not None and self._is_filling:
            return f"conditional: the tokens at the other positions are given\n{ordering.describe()}"
        if ordering is None or ordering.left_to_right:
            return start.describe() if ordering is None else f"{start.describe()}\n{ordering.describe()}"
        if start.id is None and not self.score.request.context_ids.size:
            return f"conditional: the first token in the order is given, and has no factor\n{ordering.describe()}"
        return f"{start.describe().replace('the first token', 'the first token in the order')}\n{ordering.describe()}"

    def product(self) -> list[str]:
        """The whole formula, Pr(x) = Pr(x_0 | s) · … = 0.2 · …, as one line; no lines for a long text or left to right."""
        ordering = self.score.ordering
        if ordering is None or ordering.left_to_right or len(self.factors) > _MOST_FACTORS:
            return []
        names = " · ".join(f.formula for f in self.factors)
        return [f"{self.whole()} = {names} = {' · '.join(f'{f.probability:.6g}' for f in self.factors)}"]

    def total(self) -> str:
        """The sum of the log factors and their product, as a power of ten if it is too small for a float."""
        logprob = self.score.logprob
        product = (
            f" = {math.exp(logprob):.6g}" if logprob > -700 or logprob == -math.inf else f" = 10^{logprob / math.log(10):.2f}"
        )
        return f"{self.whole()} = exp({logprob:.6f}){product}"

    @property
    def _is_filling(self) -> bool:
        """Whether tokens of the text are given, apart from the first in the order if there is no start symbol."""
        ordering, request = self.score.ordering, self.score.request
        return ordering is not None and len(ordering.given) > len(request.context_ids) + (self.score.start.id is None)

    def whole(self) -> str:
        """The name of the product of all factors."""
        if self.score.kind == "joint":
            return "Pr(x)"
        if self._is_filling:
            return "Pr(x) given the other positions"
        ordering = self.score.ordering
        in_order = ordering is not None and not ordering.left_to_right and not len(self.score.request.context_ids)
        return "Pr(x) given the first token in the order" if in_order else "Pr(x) given its context"

    def to_dict(self) -> dict[str, Any]:
        places = self.score.places.tolist()
        factors = [{"place": i} | vars(f) | {"probability": f.probability} for i, f in zip(places, self.factors, strict=True)]
        start = self.score.start.to_dict()
        ordering = {} if self.score.ordering is None else {"ordering": self.score.ordering.to_dict()}
        names = ("logprob", "temperature", "least_context", "cut", "special", "context_special")
        summary = {name: getattr(self.score, name) for name in names}
        return {"start": start, "end_id": self.score.end, **ordering, "factors": factors, **summary, **self.provenance()}


def formula(score: Score, column: int) -> str:
    """Pr(x_4 | s, e_0, …) in the order of prediction. s is the start symbol; tokens, a context's first, count from 0."""
    context = score.context_positions(column).tolist()
    token = len(score.request.context_ids) + int(score.places[column])
    ascending = context == list(range(token - len(context), token))
    names = [f"e_{i}" for i in context]
    if len(names) > (_MOST_NAMED if ascending else _MOST_IN_ORDER):
        names = [names[0], "…", names[-1]] if ascending else [*names[: _MOST_IN_ORDER - 1], "…", names[-1]]
    start = ["s"] if score.start.id is not None else []
    return f"Pr(x_{token} | {', '.join(start + names)})"
