"""Views of suites: one line per prediction."""

from __future__ import annotations

import html

from chainrule.display.grid import Grid, column
from chainrule.display.pairs import table_html
from chainrule.display.scores import temperature_note
from chainrule.display.spans import cell
from chainrule.display.view import View, line, note, origin
from chainrule.results.suite import Suite
from chainrule.results.units import count


def suite_view(suite: Suite) -> View:
    """One line per prediction: for how many items it holds."""
    own = suite.predictions
    columns = {
        "prediction": column("number", "prediction", [cell(str(p.prediction)) for p in own]),
        "accuracy": column("number", "accuracy", [cell(f"{p.accuracy:.3f}") for p in own]),
        "interval": column(
            "number", "95 %\ninterval", [cell(f"{p.accuracy_low:.3f} to {p.accuracy_high:.3f}") for p in own], "the interval"
        ),
        "items": column("number", "items", [cell(f"{p.successes} of {p.n}") for p in own], "items"),
        "formula": column("fold", "formula", [cell(p.formula, own=True) for p in own], "the formula"),
    }
    table = Grid(columns, ["prediction", "accuracy", "items", "interval", "formula"], 3)
    at = temperature_note(suite.scores.temperature)
    return View(*([line(suite.name)] if suite.name else []), table, *map(note, _remarks(suite)), *at, origin(suite))


def suite_html(suite: Suite) -> str:
    """A table with one row per prediction."""
    rows = [
        [str(p.prediction), f"{p.accuracy:.3f} ({p.accuracy_low:.3f} to {p.accuracy_high:.3f})", f"{p.successes} of {p.n}",
         html.escape(p.formula)]
        for p in suite.predictions
    ]  # fmt: skip
    table = table_html(["prediction", "accuracy (95 % interval)", "items", "formula"], rows)
    below = "<br>".join(html.escape(text) for text in [suite.name, *_remarks(suite)] if text)
    return f"{table}<small>{below}</small>"


def _remarks(suite: Suite) -> list[str]:
    """Lines below the table: the regions whose end is inside of a token."""
    crossing = suite.crossing
    if not crossing:
        return []
    first = crossing[0]
    return [
        f"{count(len(crossing), 'region')} with a token that crosses into the next region; the first: item {first.item}, "
        f"condition {first.condition!r}, region {first.region}, token {first.crossing[0]!r}"
    ]
