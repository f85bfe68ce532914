"""The chain rule of one text, written out: Pr(x_2 | e_0, e_1) = 0.083 …"""

from __future__ import annotations

import html
import math
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from chainrule.scores.score import Score

_MOST_NAMED = 3  # embeddings written out before the formula says …


@dataclass(frozen=True)
class Factor:
    """One line: Pr(x_i | e_…) of a token, and the product so far."""

    formula: str
    token: str
    logprob: float
    running_logprob: float
    context: int

    @property
    def probability(self) -> float:
        return math.exp(self.logprob)


class Explanation:
    """Each factor of a score written out, with the running product. `str()` gives the lines, `rich` draws bars."""

    def __init__(self, score: Score) -> None:
        self.score = score
        running = accumulate(score.logprobs.tolist())
        self.factors = [
            Factor(formula(score, i), token, float(logprob), total, int(score.contexts[i]))
            for i, (token, logprob, total) in enumerate(zip(score.tokens, score.logprobs, running, strict=True))
        ]

    def __str__(self) -> str:
        wide = max(len(f.formula) for f in self.factors)
        name = max(len(repr(f.token)) for f in self.factors)
        lines = [
            f"{f.formula:<{wide}} = {f.probability:<11.6g} {f.token!r:<{name}}"
            f"  log {f.logprob:>11.6f}   so far {f.running_logprob:>12.6f}"
            for f in self.factors
        ]
        return "\n".join([self.head(), *lines, self.total()])

    def head(self) -> str:
        return self.score.start.describe()

    def total(self) -> str:
        """The sum, and the product where a float can hold it."""
        logprob = self.score.logprob
        product = (
            f" = {math.exp(logprob):.6g}" if logprob > -700 or logprob == -math.inf else f" = 10^{logprob / math.log(10):.2f}"
        )
        given = "" if self.score.kind == "joint" else " given what stands before"
        return f"Pr(x){given} = exp({logprob:.6f}){product}"

    def to_dict(self) -> dict[str, Any]:
        factors = [vars(f) | {"probability": f.probability} for f in self.factors]
        start = self.score.start.to_dict()
        return {"start": start, "end_id": self.score.end, "factors": factors, "logprob": self.score.logprob}

    def __rich__(self) -> Any:
        from chainrule.scores.views import explanation_table

        return explanation_table(self)

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


def formula(score: Score, place: int) -> str:
    """Pr(x_i | e_0, …, e_{i−1}): the start symbol is s, the tokens before it count from 0, its context included."""
    first = len(score.request.context_ids) + len(score.request.ids) - len(score.ids)  # tokens that are given
    token = first + place
    seen = int(score.contexts[place]) - (score.start.id is not None)  # embeddings of tokens, without the start symbol's
    if seen > _MOST_NAMED:
        names = [f"e_{token - seen}", "…", f"e_{token - 1}"]
    else:
        names = [f"e_{i}" for i in range(token - seen, token)]
    start = ["s"] if score.start.id is not None else []
    return f"Pr(x_{token} | {', '.join(start + names)})"
