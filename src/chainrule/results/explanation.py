"""The factors of one text in full: Pr(x_2 | e_0, e_1) = 0.083 …"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from chainrule.models.identity import Identity
from chainrule.results.document import Document
from chainrule.results.numbers import probability
from chainrule.results.provenance import WithWindow
from chainrule.results.score import Score
from chainrule.results.shown import as_text
from chainrule.results.units import count

_MOST_NAMED = 3  # embeddings named in a formula, left to right; the others become …
_MOST_IN_ORDER = 8  # the same in any other order; more, because the first and the last do not determine the others
_PAGES = "chainrule.pages"
_MOST_FACTORS = 8  # factors in the formula of the whole product


@dataclass(frozen=True)
class Factor:
    """One factor, Pr(x_i | e_…), and the running product. Logs are in nats."""

    formula: str
    token: str
    logprob: float
    running_logprob: float
    context: int  # number of embeddings that it is conditioned on, start symbol included
    position: int  # of the token in the whole sequence, context included
    rank: int  # 1 for the most probable token at its position
    top: tuple[tuple[str, float], ...]  # the most probable tokens there, with log probabilities; empty without top=

    @property
    def probability(self) -> float:
        return math.exp(self.logprob)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        top = {"top": [{"token": token, "logprob": logprob} for token, logprob in self.top]} if self.top else {}
        return {name: value for name, value in vars(self).items() if name != "top"} | {"probability": self.probability} | top


class Explanation(WithWindow, Document):
    """Every factor of a score with the running product. `str()` is the table as plain text; in a terminal it fits the width."""

    def __init__(self, score: Score, make_page: Callable[[Score], Any] | None = None) -> None:
        """make_page: makes the page of the score with its model; None: the model is not known."""
        self.score, self._make_page = score, make_page
        columns = np.arange(len(score)) if score.ordering is None else np.argsort(score.ordering.steps)
        logprobs = score.logprobs[columns].tolist()
        self.factors = [
            _factor(score, i, logprob, total)
            for i, logprob, total in zip(columns.tolist(), logprobs, running_sums(logprobs), strict=True)
        ]

    def __repr__(self) -> str:
        return f"Explanation({self.total()}, {count(len(self.factors), 'factor')}, {self.score.label})"

    def __getstate__(self) -> dict[str, Any]:
        """A copy in another process has no model."""
        return vars(self) | {"_make_page": None}

    def page(self) -> Any:
        """The `chainrule.Page` of the text, as `LanguageModel.page` makes it.

        Of an explanation that was made from a score without its model, or unpickled, it has the panels that need only the
        factors. Raises InputError as `LanguageModel.page` does.
        """
        if self._make_page is not None:
            return self._make_page(self.score)
        return import_module(_PAGES).page_of_factors(self)  # by name: it imports the results

    @property
    def identity(self) -> Identity:
        return self.score.identity

    @property
    def window(self) -> int | None:
        return self.score.window

    def __str__(self) -> str:
        return as_text(self)

    def head(self) -> str:
        """The condition of the first factor, the order if one was requested, and the remarks of the score."""
        return "\n".join([self._condition(), *self.score.remarks])

    def _condition(self) -> str:
        start, ordering = self.score.start, self.score.ordering
        if ordering is not None and self._is_filling:
            return f"conditional: the tokens at the other positions are given\n{ordering.describe()}"
        if ordering is None or ordering.left_to_right:
            return self.score.condition if ordering is None else f"{self.score.condition}\n{ordering.describe()}"
        if start.id is None and not self.score.request.context_ids.size:
            return f"conditional: the first token in the order is given, and has no factor\n{ordering.describe()}"
        return f"{self.score.condition.replace('the first token', 'the first token in the order')}\n{ordering.describe()}"

    def product(self) -> list[str]:
        """The whole formula, Pr(x) = Pr(x_0 | s) · … = 0.2 · …, as one line; no lines for a long text or left to right."""
        ordering = self.score.ordering
        if ordering is None or ordering.left_to_right or len(self.factors) > _MOST_FACTORS:
            return []
        names = " · ".join(f.formula for f in self.factors)
        return [f"{self.whole()} = {names} = {' · '.join(f'{f.probability:.6g}' for f in self.factors)}"]

    def total(self) -> str:
        """The sum of the log factors and their product."""
        logprob = self.score.logprob
        return f"{self.whole()} = exp({logprob:.6f}) = {probability(logprob)}"

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
        given = len(self.score.request.context_ids)
        factors = [{"place": f.position - given} | f.to_dict() for f in self.factors]
        start = self.score.start.to_dict()
        ordering = {} if self.score.ordering is None else {"ordering": self.score.ordering.to_dict()}
        names = ("logprob", "temperature", "least_context", "cut", "special", "context_special")
        summary = {name: getattr(self.score, name) for name in names}
        return {"start": start, "end_id": self.score.end, **ordering, "factors": factors, **summary, **self.provenance()}


def running_sums(numbers: Iterable[float]) -> Iterator[float]:
    """The exactly rounded sums of the first 1, 2, … numbers. The last is their `math.fsum`, as in `Score.logprob`.

    The sum is kept as numbers that do not overlap (Shewchuk 1997).
    """
    parts: list[float] = []
    for number in numbers:
        if not math.isfinite(number) or (parts and not math.isfinite(parts[-1])):
            parts = [math.fsum([*parts, number])]
        else:
            rest, total = [], number
            for part in parts:
                large, small = (total, part) if abs(total) >= abs(part) else (part, total)
                total = large + small
                if error := small - (total - large):
                    rest.append(error)
            parts = [*rest, total]
        yield math.fsum(parts)


def _factor(score: Score, column: int, logprob: float, running: float) -> Factor:
    return Factor(
        formula=formula(score, column),
        token=score.tokens[column],
        logprob=logprob,
        running_logprob=running,
        context=int(score.contexts[column]),
        position=_position(score, column),
        rank=int(score.ranks[column]),
        top=tuple(score.top(column)),
    )


def _position(score: Score, column: int) -> int:
    return len(score.request.context_ids) + int(score.places[column])


def formula(score: Score, column: int) -> str:
    """Pr(x_4 | s, e_0, …) in the order of prediction. s is the start symbol; tokens, a context's first, count from 0."""
    context = score.context_positions(column).tolist()
    token = _position(score, column)
    ascending = context == list(range(token - len(context), token))
    names = [f"e_{i}" for i in context]
    if len(names) > (_MOST_NAMED if ascending else _MOST_IN_ORDER):
        names = [names[0], "…", names[-1]] if ascending else [*names[: _MOST_IN_ORDER - 1], "…", names[-1]]
    start = ["s"] if score.start.id is not None else []
    return f"Pr(x_{token} | {', '.join(start + names)})"
