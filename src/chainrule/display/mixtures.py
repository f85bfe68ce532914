"""Views of mixtures: one line per order, and the mean."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from chainrule.display.views import (
    LOGPROB,
    NATS,
    SHOWN,
    batch_html,
    batch_table,
    label,
    plain_table,
    score_html,
    text_in_colour,
)
from chainrule.results.mixture import Mixture, Mixtures
from chainrule.results.ordering import listed

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table


def mixture_panel(mixture: Mixture) -> Group:
    """One line per order: its log probability and the text, coloured by surprisal."""
    from rich.console import Group
    from rich.text import Text

    table = plain_table("order", right=(LOGPROB,))
    table.add_column("text", no_wrap=True, overflow="ellipsis", ratio=1)
    for score, order in list(zip(mixture, mixture.orders, strict=True))[:SHOWN]:
        table.add_row(listed(order), f"{score.logprob:.6f}", text_in_colour(score))
    if len(mixture) > SHOWN:
        table.caption = f"{SHOWN} of {len(mixture)} orders"
    return Group(table, Text(_numbers(mixture), style="bold"), Text(_head(mixture), style="dim"))


_MIXTURES = (LOGPROB, "spread", "orders", "tokens")


def mixtures_table(mixtures: Mixtures) -> Table:
    """One line per text."""
    return batch_table(_MIXTURES, _lines(mixtures), len(mixtures), "texts")


def mixture_html(mixture: Mixture) -> str:
    """The text in each order, coloured by surprisal, and the mean."""
    parts = [f"<div>{html.escape(listed(order))}</div>{score_html(score)}"
             for score, order in list(zip(mixture, mixture.orders, strict=True))[:SHOWN]]  # fmt: skip
    more = f"<div>{SHOWN} of {len(mixture)} orders</div>" if len(mixture) > SHOWN else ""
    return f"<div>{''.join(parts)}{more}<b>{html.escape(_numbers(mixture))}</b></div>"


def mixtures_html(mixtures: Mixtures) -> str:
    return batch_html(_MIXTURES, _lines(mixtures), repr(mixtures))


def _lines(mixtures: Mixtures) -> list[tuple[list[str], str]]:
    return [(_cells(mixture), label(mixture[0])) for mixture in mixtures[:SHOWN]]


def _numbers(mixture: Mixture) -> str:
    name = "log Pr" if mixture.kind == "joint" else "log Pr given its context"
    spread = f"spread {mixture.logprob_spread:.3g} {NATS}"
    return f"{name} = {mixture.logprob:.6f} {NATS}, the mean over {len(mixture)} orders · {spread}"


def _head(mixture: Mixture) -> str:
    ordering = mixture[0].ordering
    length = f"; the length ({ordering.length} tokens) is given; {ordering.how}" if ordering is not None else ""
    return mixture[0].start.describe() + length


def _cells(mixture: Mixture) -> list[str]:
    return [f"{mixture.logprob:.6f}", f"{mixture.logprob_spread:.3g}", str(len(mixture)), str(len(mixture[0]))]
