"""The view of an explanation: one line per factor, with as many columns as there is room for."""

from __future__ import annotations

from chainrule.display.grid import Column, Form, Grid, column, numbers
from chainrule.display.scores import logprob_column
from chainrule.display.spans import TOTAL, alternatives, cell, forms_of_probability, token
from chainrule.display.view import View, line, note, origin
from chainrule.results.explanation import Explanation

_IN_A_COLUMN = 3  # alternatives; more of them are in lines of their own
PROBABILITY_NOTES = ["Pr to 3 digits", "Pr to 4 digits"]


def explanation_view(explanation: Explanation) -> View:
    """The condition of the first factor, the table of factors, and the product."""
    below = [*explanation.product(), explanation.total()]
    head = map(note, explanation.head().split("\n"))
    return View(*head, _table(explanation), *(line(one, TOTAL) for one in below), origin(explanation))


def _table(explanation: Explanation) -> Grid:
    """One line per factor."""
    factors = explanation.factors
    logprobs = [f.logprob for f in factors]
    columns = {
        "factor": Column(
            "label",
            [Form("x", [cell(f"x_{f.position}") for f in factors]), Form("factor", [cell(f.formula) for f in factors])],
        ),
        "token": column("fold", "token", [token(f.token, f.logprob) for f in factors]),
        "probability": numbers("Pr", forms_of_probability(logprobs), PROBABILITY_NOTES, "Pr"),
        "logprob": logprob_column(logprobs),
        "running": column("number", "running\n(nats)", [cell(f"{f.running_logprob:.6f}") for f in factors], "the running sum"),
        "rank": column("number", "rank", [cell(str(f.rank)) for f in factors], "the rank"),
    }
    plan = ["factor", "token", "logprob", "probability", "logprob", "rank", "factor", "running", "probability"]
    others = [alternatives(list(f.top)) for f in factors]
    count = len(others[0]) if others else 0
    if 0 < count <= _IN_A_COLUMN:
        columns["top"] = column("pieces", "most probable", others, "the most probable tokens")
        plan.append("top")
    columns["bar"] = column("bar", "", [cell(str(f.probability)) for f in factors])
    return Grid(columns, [*plan, "probability", "bar"], 3, below=others if count > _IN_A_COLUMN else ())
