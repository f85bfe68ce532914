"""The view of generation, step by step. Steps are shown as they happen, so the widths of columns are set in advance."""

from __future__ import annotations

import math

from chainrule.display.explanations import PROBABILITY_NOTES
from chainrule.display.grid import Grid, column, numbers
from chainrule.display.scores import logprob_column, numbers_view, score_view
from chainrule.display.spans import Cell, alternatives, cell, forms_of_probability, token
from chainrule.display.view import View, line, note
from chainrule.generation.result import Generated, Step
from chainrule.results.conditional import Alternative

_TYPICAL = math.log(1.23457e-07)  # nats
_NAME = " " + 9 * "x"


class StepTable:
    """A table of steps that is printed line by line. top: alternatives of each step; several: whether texts are numbered."""

    def __init__(self, top: int, several: bool) -> None:
        widest = Step(999, 999, 99999, _NAME, 0, _TYPICAL, -999.0, [Alternative(_NAME[:7], 0, math.log(0.0123))] * min(top, 3))
        self._several = several
        self._template = self._grid([widest])

    def head(self) -> View:
        """The heads of the columns."""
        return View(self._grid([], self._template))

    def row(self, step: Step) -> View:
        """The line of a step."""
        return View(self._grid([step], self._template))

    def _grid(self, steps: list[Step], template: Grid | None = None) -> Grid:
        logprobs = [s.logprob for s in steps]
        columns = {
            "text": column("number", "text", [cell(str(s.sample + 1)) for s in steps]),
            "step": column("number", "step", [cell(str(s.step)) for s in steps]),
            "context": column("number", "context\n(emb.)", [cell(str(s.context)) for s in steps]),
            "token": column("fold", "token", [token(s.token, s.logprob) for s in steps]),
            "probability": numbers("Pr", forms_of_probability(logprobs), PROBABILITY_NOTES, "Pr"),
            "logprob": logprob_column(logprobs),
            "running": column(
                "number", "running\n(nats)", [cell(f"{s.running_logprob:.6f}") for s in steps], "the running sum"
            ),
            "rank": column("number", "rank", [cell(_rank(s)) for s in steps], "the rank"),
            "top": column("pieces", "most probable", [_others(s) for s in steps], "the most probable tokens"),
        }
        first = ["text"] if self._several else []
        plan = [*first, "step", "token", "logprob", "probability", "logprob", "running"]
        with_top = steps[0].alternatives if template is None else "top" in template.plan
        plan += [*(["rank", "top"] if with_top else []), "probability", "probability", "context"]
        return Grid(columns, plan, len(first) + 3, template=template)


def finished_view(generated: Generated, steps: bool, marks: bool) -> View:
    """A text after its last step. steps: whether steps with running sums were shown; marks: with the marked text."""
    whole = score_view(generated) if marks else View(line(repr(generated.text)), *numbers_view(generated).parts)
    *parts, source = whole.parts
    return View(*parts, *([note(_rounding(generated))] if steps and _rounding(generated) else []), source)


def _rounding(generated: Generated) -> str:
    """The difference between the running sum and the score, if their shown digits differ."""
    running, again = math.fsum(generated.running_logprobs.tolist()), generated.logprob
    if f"{running:.6f}" == f"{again:.6f}":
        return ""
    return (
        f"The running sum ends at {running:.6f}: each step was computed alone. log Pr is the score of the whole text. They "
        f"differ by {abs(running - again):.1g} nats, which is rounding."
    )


def _rank(step: Step) -> str:
    """The rank of the token among the alternatives; ">3" if it is not one of the 3."""
    if any(a.id == step.id for a in step.alternatives):
        return str(1 + sum(a.logprob > step.logprob for a in step.alternatives))
    return f">{len(step.alternatives)}"


def _others(step: Step) -> Cell:
    return alternatives([(a.token, a.logprob) for a in step.alternatives])
