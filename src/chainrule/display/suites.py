"""Views of suites: one line per prediction."""

from __future__ import annotations

import html

from chainrule.display.grid import Grid, column
from chainrule.display.pairs import table_html
from chainrule.display.scores import in_part, temperature_note
from chainrule.display.spans import cell
from chainrule.display.view import View, line, note, origin
from chainrule.results.suite import Suite
from chainrule.results.units import count

SHOWN_ROWS = 100  # of items or regions


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
    return View(*([line(suite.name)] if suite.name else []), table, *map(note, suite_remarks(suite)), *at, origin(suite))


def rows_view(suite: Suite, per: str) -> Suite | View:
    """The suite by "prediction", by "item" or by "region"."""
    if per == "prediction":
        return suite
    grid = _items_grid(suite) if per == "item" else _regions_grid(suite)
    return View(grid, *map(note, suite_remarks(suite)), *temperature_note(suite.scores.temperature), origin(suite))


def _items_grid(suite: Suite) -> Grid:
    shown = suite.outcomes[:SHOWN_ROWS]
    columns = {
        "item": column("number", "item", [cell(str(o.item)) for o in shown]),
        "prediction": column("number", "prediction", [cell(str(o.prediction)) for o in shown]),
        "holds": column("label", "holds", [cell("yes" if o.holds else "no") for o in shown]),
        "formula": column("fold", "formula", [cell(o.formula, own=True) for o in shown], "the formula"),
    }
    return Grid(
        columns, ["item", "prediction", "holds", "formula"], 3, caption=in_part(len(shown), len(suite.outcomes), "rows")
    )


def _regions_grid(suite: Suite) -> Grid:
    shown = suite.regions[:SHOWN_ROWS]
    bits = ["" if r.surprisal_bits is None else f"{r.surprisal_bits:.4f}" for r in shown]
    columns = {
        "item": column("number", "item", [cell(str(r.item)) for r in shown]),
        "condition": column("fold", "condition", [cell(r.condition, own=True) for r in shown]),
        "region": column("number", "region", [cell(str(r.region)) for r in shown]),
        "surprisal": column("number", "surprisal\n(bits)", [cell(text) for text in bits]),
        "tokens": column("number", "tokens", [cell(str(r.tokens)) for r in shown], "tokens"),
        "content": column("fold", "content", [cell(r.content, own=True) for r in shown], "the content"),
        "boundary": column("label", "boundary", [cell(r.boundary) for r in shown], "the boundary"),
    }
    plan = ["item", "condition", "region", "surprisal", "content", "tokens", *(["boundary"] if suite.crossing else [])]
    return Grid(columns, plan, 4, caption=in_part(len(shown), len(suite.regions), "rows"))


def suite_html(suite: Suite) -> str:
    """A table with one row per prediction."""
    rows = [
        [str(p.prediction), f"{p.accuracy:.3f} ({p.accuracy_low:.3f} to {p.accuracy_high:.3f})", f"{p.successes} of {p.n}",
         html.escape(p.formula)]
        for p in suite.predictions
    ]  # fmt: skip
    table = table_html(["prediction", "accuracy (95 % interval)", "items", "formula"], rows)
    below = "<br>".join(html.escape(text) for text in [suite.name, *suite_remarks(suite)] if text)
    return f"{table}<small>{below}</small>"


def suite_remarks(suite: Suite) -> list[str]:
    """Lines for readers of the results: the regions whose end is inside of a token."""
    crossing = suite.crossing
    if not crossing:
        return []
    first = crossing[0]
    return [
        f"{count(len(crossing), 'region')} with a token that crosses into the next region; the first: item {first.item}, "
        f"condition {first.condition!r}, region {first.region}, token {first.crossing[0]!r}"
    ]
