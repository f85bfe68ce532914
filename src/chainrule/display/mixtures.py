"""Views of mixtures: one line per order, and the mean."""

from __future__ import annotations

from chainrule.display.grid import Column, Grid, column
from chainrule.display.scores import SHOWN, in_part, label, logprob_column, marked, temperature_note
from chainrule.display.spans import Span, cell
from chainrule.display.view import View, note, origin
from chainrule.results.mixture import Mixture, Mixtures
from chainrule.results.ordering import listed


def mixture_view(mixture: Mixture) -> View:
    """One line per order: its log probability and the text, with improbable tokens marked; then the mean."""
    pairs = list(zip(mixture, mixture.orders, strict=True))[:SHOWN]
    columns = {
        "logprob": logprob_column([score.logprob for score, _ in pairs]),
        "order": column("fold", "order", [cell(listed(order)) for _, order in pairs]),
        "text": column("cut", "text", [_one_line(marked(score)) for score, _ in pairs], "the text"),
    }
    table = Grid(columns, ["order", "logprob", "logprob", "text"], 2, caption=in_part(len(pairs), len(mixture), "orders"))
    ordering = mixture[0].ordering
    length = f"; the length ({ordering.length} tokens) is given; {ordering.how}" if ordering is not None else ""
    return View(table, _means([mixture]), *map(note, [mixture[0].condition + length, *mixture[0].remarks]), origin(mixture))


def mixtures_view(mixtures: Mixtures) -> View:
    """One line per text."""
    shown = mixtures[:SHOWN]
    table = _means(shown, texts=True, caption=in_part(len(shown), len(mixtures), "texts"))
    return View(table, *temperature_note(mixtures.scores.temperature), origin(mixtures))


def _means(mixtures: list[Mixture], texts: bool = False, caption: str = "") -> Grid:
    means = [mixture.logprob for mixture in mixtures]
    columns = {
        "logprob": Column("number", logprob_column(means, "log Pr", "log of mean Pr").forms),
        "spread": column("number", "spread\n(nats)", [cell(f"{mixture.logprob_spread:.3g}") for mixture in mixtures], "spread"),
        "orders": column("number", "orders", [cell(str(len(mixture))) for mixture in mixtures], "orders"),
        "tokens": column("number", "tokens", [cell(str(len(mixture[0]))) for mixture in mixtures], "tokens"),
    }
    text = ["text"] if texts else []
    if texts:
        columns["text"] = column("cut", "text", [label(mixture[0]) for mixture in mixtures])
    return Grid(columns, ["logprob", *text, "logprob", "spread", "orders", "tokens", "logprob"], 1 + len(text), caption=caption)


def _one_line(spans: tuple[Span, ...]) -> tuple[Span, ...]:
    return tuple(span._replace(text=span.text.replace("\n", "\\n")) for span in spans)
