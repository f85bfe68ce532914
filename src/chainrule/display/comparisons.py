"""Views of comparisons: tables for terminals, HTML for notebooks."""

from __future__ import annotations

import html

from chainrule.display.grid import Grid, column
from chainrule.display.spans import TOTAL, cell
from chainrule.display.view import View, line, origin
from chainrule.results.comparison import Comparison


def comparison_view(comparison: Comparison) -> View:
    """A line for each number, and the conclusion below."""
    heads, cells = comparison.heads(), comparison.cells()
    columns = {
        "token": column("fold", heads[0], [cell(row[0], own=True) for row in cells]),
        **{
            head: column("number", head.replace(" (", "\n("), [cell(row[i]) for row in cells], head)
            for i, head in enumerate(heads[1:], 1)
        },
    }
    first, *others = comparison.describe()
    plan = [heads[2], heads[1], heads[4], "token", heads[3]]
    return View(Grid(columns, plan, 3), line(first, TOTAL), *map(line, others), origin(comparison))


def comparison_html(comparison: Comparison) -> str:
    """A table, and the conclusion below."""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in comparison.heads())
    rows = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in cells)}</tr>" for cells in comparison.cells())
    below = "<br>".join(map(html.escape, comparison.describe()))
    return f"<table><tr>{head}</tr>{rows}</table><small>{below}</small>"
