"""Parts that all charts share: colours, titles, axes whose labels are texts, and the Altair chart."""

from __future__ import annotations

import json
import textwrap
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import altair

# The colours of Okabe and Ito (2008), which readers with any colour vision can tell apart; grey in place of their yellow, which
# is too light for lines on white.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7F7F7F"]
DASHES = [[1, 0], [6, 3], [2, 2], [10, 3, 2, 3], [12, 4], [4, 1], [8, 2, 2, 2, 2, 2], [1, 3]]
SHAPES = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right", "triangle-left"]
MOST = len(COLOURS)  # lines that a chart shows
CHARACTER = 6.5  # the width of a character of a label, in pixels


def altair_chart(spec: dict[str, Any]) -> altair.TopLevelMixin:
    """The chart of a Vega-Lite specification, without its "$schema"."""
    import altair

    config = {"view": {"stroke": None}, "axis": {"gridColor": "#e8e8e8"}}
    # Rows are added afterwards: from_dict would look at each of them for 5 ms.
    parts = [{**part} for part in spec.get("vconcat", [spec])]
    rows = [part.pop("data")["values"] for part in parts]
    chart: Any = altair.Chart.from_dict({"config": config, **(spec | {"vconcat": parts} if "vconcat" in spec else parts[0])})
    for part, own in zip(chart.vconcat if "vconcat" in spec else [chart], rows, strict=True):
        part.data = altair.InlineData(values=own)
    return chart


def title(text: str, notes: Sequence[str], width: float) -> dict[str, Any]:
    """A title at the left, with notes below it in lines of at most this width."""
    lines = [line for note in notes for line in textwrap.wrap(note, max(40, int(width / (0.9 * CHARACTER))))]
    return {"text": text, "subtitle": lines, "anchor": "start", "subtitleColor": "#555", "offset": 8}


def layer(mark: dict[str, Any], encoding: dict[str, Any], which: str) -> dict[str, Any]:
    """A layer of the rows for which an expression is true."""
    return {"mark": mark, "encoding": encoding, "transform": [{"filter": which}]}


def labelled(labels: Sequence[str]) -> str:
    """The expression of an axis whose value is the number of a label."""
    return f"{json.dumps([one_line(label) for label in labels])}[datum.value]"


def one_line(text: str) -> str:
    """A text for a label: line breaks and other control characters as spaces."""
    return "".join(" " if unicodedata.category(c) in ("Cc", "Zl", "Zp") else c for c in text)


def width_of(text: str) -> float:
    """The approximate width of a label, in pixels."""
    return CHARACTER * sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def begun(text: str, most: int = 40) -> str:
    """The beginning of a text."""
    return text if len(text) <= most else text[: most - 1] + "…"
