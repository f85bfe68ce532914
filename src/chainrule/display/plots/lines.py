"""A chart of lines over the words or the tokens of texts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from chainrule.display.plots.parts import (
    COLOURS,
    DASHES,
    SHAPES,
    altair_chart,
    begun,
    labelled,
    layer,
    one_line,
    title,
    width_of,
)

if TYPE_CHECKING:
    import altair

_BOLD = "!datum.thin"
LONGEST = 5000  # words or tokens of one line
_LEVEL = 1000  # the widest chart whose labels are not turned, in pixels
_WIDEST = 1800  # the widest chart
_STEP = 30  # the distance of turned labels
_APART = _WIDEST // _STEP  # positions that are all labelled; the labels of more are thinned


@dataclass(frozen=True)
class Line:
    """One line: a number of bits at each position, NaN for a gap."""

    name: str
    labels: Sequence[str]  # of each position
    bits: Sequence[float]
    details: Sequence[dict[str, Any]]  # what a tooltip says of each position; "low" and "high" are the ends of an interval
    thin: bool = field(default=False, kw_only=True)  # a second quantity of the same positions


def shared_labels(lines: Sequence[Sequence[str | None]]) -> list[str]:
    """The label of each position: its texts in all lines, if they are at most three; otherwise all labels are numbers.

    A label that is None is not the same in all texts of its line.
    """
    size = max(map(len, lines), default=0)
    joined = []
    for i in range(size):
        own = dict.fromkeys(labels[i] for labels in lines if i < len(labels))
        if None in own or len(own) > 3:
            return [str(at) for at in range(size)]
        joined.append(" / ".join(str(label) for label in own))
    return joined


def line_chart(
    lines: Sequence[Line], labels: Sequence[str], *, heading: str, unit: str, notes: Sequence[str], tooltips: dict[str, str]
) -> altair.TopLevelMixin:
    """The chart. unit: "word" or "token". tooltips: for each field of the details, its title."""
    rows = [row for line in lines for row in _rows(line)]
    impossible = sum(row["impossible"] for row in rows)
    if impossible:
        notes = [*notes, f"triangles at the top: infinite, because the probability is 0 ({impossible} of {len(rows)} points)"]
    step = max(_STEP, 12 + max(map(width_of, map(one_line, labels)), default=0))
    level = step == _STEP or step * len(labels) <= _LEVEL
    width = round(max(320, min(len(labels) * (step if level else _STEP), _WIDEST)))
    axis: dict[str, Any] = {
        "title": None if list(labels) != [str(i) for i in range(len(labels))] else f"{unit} (number in its text, from 0)",
        "labelExpr": labelled(labels),
        "labelAngle": 0 if level else -45,
        "labelAlign": "center" if level else "right",
        "labelLimit": 140,
        "labelOverlap": len(labels) > _APART,
        "ticks": False,
        "grid": len(labels) <= _APART,
        "domainColor": "#888",
    }
    x = {"field": "index", "type": "ordinal", "scale": {"type": "point", "padding": 0.5}, "axis": axis}
    names = [line.name for line in lines]
    scale, legend = {"domain": names}, _legend(names, width)
    thin = any(line.thin for line in lines)
    color = _series(scale | {"range": COLOURS[: len(names)]}, None)
    dash = _series(scale | {"range": DASHES[: len(names)]}, None)
    shape = _series(scale | {"range": SHAPES[: len(names)]}, None)
    with_legend = {"legend": legend}
    flat = {} if any(row["bits"] for row in rows) else {"scale": {"domain": [0, 1]}}
    y = flat | {
        "field": "bits",
        "type": "quantitative",
        "title": "bits",
        "axis": {"domain": False, "ticks": False, "tickCount": 5},
    }
    named = {"line": "line"} if len(names) > 1 else {}
    tooltip = [_tooltip(name, text) for name, text in ({"unit": unit} | named | tooltips).items()]
    layers: list[dict[str, Any]] = []
    if any("low" in row for row in rows):
        interval = {"y": y | {"field": "low"}, "y2": {"field": "high"}, "color": color}
        layers.append({"mark": {"type": "area", "opacity": 0.14, "tooltip": None}, "encoding": interval})
        layers.append({"mark": {"type": "rule", "opacity": 0.35}, "encoding": interval})
    if thin:  # the legend shows lines, as the second one has no points
        drawn = {"y": y, "color": color | with_legend, "strokeDash": dash | with_legend}
        layers.append(layer({"type": "line", "strokeWidth": 1}, drawn, "datum.thin"))
    else:  # it shows the shapes of the points
        drawn = {"y": y, "color": color, "strokeDash": dash}
    layers.append(layer({"type": "line", "strokeWidth": 2}, drawn, _BOLD))
    points = {"y": y, "color": color | ({} if thin else with_legend), "shape": shape | ({} if thin else with_legend)}
    points["tooltip"] = tooltip
    size = 45 if len(labels) <= _APART else 8
    layers.append(layer({"type": "point", "filled": True, "size": size, "opacity": 1}, points, _BOLD))
    if impossible:
        top = {"y": {"value": 0}, "color": color, "tooltip": tooltip}
        layers.append(layer({"type": "point", "shape": "triangle-up", "size": 90}, top, "datum.impossible"))
    return altair_chart(
        {
            "title": title(heading, notes, width),
            "width": width,
            "height": 240,
            "data": {"values": rows},
            "encoding": {"x": x},
            "layer": layers,
        }
    )


def unique_names(names: Sequence[str]) -> list[str]:
    """The names, shortened, with their numbers where two are the same."""
    short = [begun(one_line(name)) for name in names]
    return [f"{i}: {name}" if short.count(name) > 1 else name for i, name in enumerate(short)]


def _rows(line: Line) -> list[dict[str, Any]]:
    return [
        {
            "line": line.name,
            "index": i,
            "unit": line.labels[i],
            "bits": value if math.isfinite(value) else None,
            "impossible": math.isinf(value),
            "thin": line.thin,
            **details,
        }
        for i, (value, details) in enumerate(zip(line.bits, line.details, strict=True))
    ]


def _legend(names: Sequence[str], width: float) -> dict[str, Any] | None:
    if len(names) < 2:
        return None
    each = max(map(width_of, names)) + 40
    return {"title": None, "orient": "top", "columns": max(1, int(width / each)), "labelLimit": 320, "symbolSize": 80}


def _series(scale: dict[str, Any], legend: dict[str, Any] | None) -> dict[str, Any]:
    return {"field": "line", "type": "nominal", "scale": scale, "legend": legend}


def _tooltip(name: str, text: str) -> dict[str, Any]:
    numeric = name in ("bits", "low", "high", "entropy")
    return {"field": name, "title": text, **({"type": "quantitative", "format": ".3f"} if numeric else {"type": "nominal"})}
