"""Views of measures of acceptability: one line per text."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

from chainrule.display.grid import Grid, column
from chainrule.display.pairs import table_html
from chainrule.display.scores import SHOWN, in_part, label, logprob_column, temperature_note
from chainrule.display.spans import cell
from chainrule.display.view import View, origin
from chainrule.results.acceptability import Acceptability


def acceptability_view(result: Acceptability) -> View:
    """One line per text with its measures."""
    shown = result.scores[:SHOWN]
    columns = {"logprob": logprob_column([score.logprob for score in shown])}
    names = [("tokens", "tokens", [str(len(score)) for score in shown]), *_measures(result, len(shown))]
    for name, head, values in names:
        columns[name] = column("number", head, [cell(value) for value in values], name)
    columns["text"] = column("cut", "text", [label(score) for score in shown])
    plan = ["logprob", "text", *(name for name, *_ in names), "logprob"]
    table = Grid(columns, plan, 2, caption=in_part(len(shown), len(result), "texts"))
    return View(table, *temperature_note(result.scores.temperature), origin(result))


def acceptability_html(result: Acceptability) -> str:
    """A table with one row per text."""
    shown = result.scores[:SHOWN]
    measures = _measures(result, len(shown))
    heads = ["log Pr (nats)", "tokens", *(head.replace("\n", " ") for _, head, _ in measures), "text"]
    rows = [
        [
            f"{score.logprob:.6f}",
            str(len(score)),
            *(values[i] for *_, values in measures),
            html.escape(str(score.text or score.label)),
        ]
        for i, score in enumerate(shown)
    ]
    return f"{table_html(heads, rows)}<small>{html.escape(repr(result))}</small>"


def _measures(result: Acceptability, shown: int) -> list[tuple[str, str, Sequence[str]]]:
    """The name, the head and the first values of each measure."""
    measures = [
        ("MeanLP", "MeanLP\n(nats)", result.mean_lp_nats),
        ("PenLP", "PenLP\n(nats)", result.pen_lp_nats),
        ("NormLP", "NormLP", result.norm_lp),
        ("SLOR", "SLOR\n(nats)", result.slor_nats),
        ("PMI", "PMI\n(nats)", result.pmi_nats),
    ]
    return [
        (name, head, ["" if math.isnan(value) else f"{value:.4f}" for value in values[:shown].tolist()])
        for name, head, values in measures
        if values is not None
    ]
