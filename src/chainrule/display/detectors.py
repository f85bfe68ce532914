"""Views of numbers that say how expected texts are to a model: one line per text."""

from __future__ import annotations

import html
import math

from chainrule.display.grid import Grid, column
from chainrule.display.pairs import table_html
from chainrule.display.scores import SHOWN, in_part, label, logprob_column, temperature_note
from chainrule.display.spans import cell
from chainrule.display.view import View, note, origin
from chainrule.results.detectors import Detectors


def detectors_view(result: Detectors) -> View:
    """One line per text with its numbers."""
    shown = result.scores[:SHOWN]
    columns = {"logprob": logprob_column([score.logprob for score in shown])}
    names = [("tokens", "tokens", [str(len(score)) for score in shown]), *_numbers(result, len(shown))]
    for name, head, values in names:
        columns[name] = column("number", head, [cell(value) for value in values], name)
    columns["text"] = column("cut", "text", [label(score) for score in shown])
    plan = ["logprob", "text", *(name for name, *_ in names), "logprob"]
    table = Grid(columns, plan, 2, caption=in_part(len(shown), len(result), "texts"))
    return View(table, *map(note, _notes(result)), *temperature_note(result.scores.temperature), origin(result))


def detectors_html(result: Detectors) -> str:
    """A table with one row per text."""
    shown = result.scores[:SHOWN]
    numbers = _numbers(result, len(shown))
    heads = ["log Pr (nats)", "tokens", *(head.replace("\n", " ") for _, head, _ in numbers), "text"]
    rows = [
        [f"{s.logprob:.6f}", str(len(s)), *(values[i] for *_, values in numbers), html.escape(str(s.text or s.label))]
        for i, s in enumerate(shown)
    ]
    notes = "".join(f"<small>{html.escape(line)}</small><br>" for line in _notes(result))
    return f"{table_html(heads, rows)}{notes}<small>{html.escape(repr(result))}</small>"


def _numbers(result: Detectors, shown: int) -> list[tuple[str, str, list[str]]]:
    """The name, the head and the first values of each number."""
    share = f"{100 * result.k:g}%"
    numbers = [
        ("min_k", f"Min-{share}\n(nats)", result.min_k_nats),
        ("min_k_pp", f"Min-{share}++", result.min_k_pp),
        ("fast_detect", "Fast-\nDetectGPT", result.fast_detect),
        ("zlib_ratio", "zlib ratio\n(nats/byte)", result.zlib_ratio),
    ]
    return [
        (name, head, ["" if math.isnan(value) else f"{value:.4f}" for value in values[:shown].tolist()])
        for name, head, values in numbers
    ]


def _notes(result: Detectors) -> list[str]:
    """A line about tokens without variance, if there are any."""
    without = int(result.tokens_without_variance.sum())
    of = f"{without} of {len(result.scores.ids)} tokens"
    return [f"without variance: {of}, which have no z (their distribution is uniform or certain)"] if without else []
