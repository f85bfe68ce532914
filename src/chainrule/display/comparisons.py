"""Views of comparisons: Rich for terminals, HTML for notebooks."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from chainrule.results.comparison import Comparison

if TYPE_CHECKING:
    from rich.console import Group


def comparison_panel(comparison: Comparison) -> Group:
    """A line for each number, and the conclusion below."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("token", overflow="fold")
    for name in comparison.heads()[1:]:
        table.add_column(name, justify="right")
    for cells in comparison.cells():
        table.add_row(*map(Text, cells))
    first, *others = comparison.describe()
    return Group(table, Text(first, style="bold"), *map(Text, others))


def comparison_html(comparison: Comparison) -> str:
    """A table, and the conclusion below."""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in comparison.heads())
    rows = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in cells)}</tr>" for cells in comparison.cells())
    below = "<br>".join(map(html.escape, comparison.describe()))
    return f"<table><tr>{head}</tr>{rows}</table><small>{below}</small>"
