"""A chart of lines over the words or the tokens of texts."""

from __future__ import annotations

import json
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
    axis, width = _axis(labels, unit)
    names = [line.name for line in lines]
    named = {"line": "line"} if len(names) > 1 else {}
    tooltip = [_tooltip(name, text) for name, text in ({"unit": unit} | named | tooltips).items()]
    layers = _layers(rows, names, _legend(names, width), tooltip, small=len(labels) > _APART)
    x = {"field": "index", "type": "ordinal", "scale": {"type": "point", "padding": 0.5}, "axis": axis}
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
    """The names, shortened, with their numbers if two are the same."""
    short = [begun(one_line(name)) for name in names]
    return short if len({*short}) == len(short) else [f"{i}: {name}" for i, name in enumerate(short)]


def _axis(labels: Sequence[str], unit: str) -> tuple[dict[str, Any], int]:
    """The axis of the positions, and the width of the chart in pixels."""
    step = max(_STEP, 12 + max(map(width_of, map(one_line, labels)), default=0))
    level = step == _STEP or step * len(labels) <= _LEVEL
    numbers = list(labels) == [str(i) for i in range(len(labels))]
    axis = {
        "title": f"{unit} (number in its text, from 0)" if numbers else None,
        "labelExpr": labelled(labels),
        "labelAngle": 0 if level else -45,
        "labelAlign": "center" if level else "right",
        "labelLimit": 140,
        "labelOverlap": len(labels) > _APART,
        "ticks": False,
        "grid": len(labels) <= _APART,
        "domainColor": "#888",
    }
    return axis, round(max(320, min(len(labels) * (step if level else _STEP), _WIDEST)))


def _layers(
    rows: list[dict[str, Any]], names: Sequence[str], legend: dict[str, Any] | None, tooltip: list[Any], *, small: bool
) -> list[dict[str, Any]]:
    """Intervals, lines, points, and triangles at the top for infinite numbers."""
    thin = any(row["thin"] for row in rows)
    if thin and legend is not None:
        legend["symbolType"] = "stroke"  # the second line has no points

    def series(values: list[Any]) -> dict[str, Any]:
        scale = {"domain": names, "range": values[: len(names)]}
        return {"field": "line", "type": "nominal", "scale": scale, "legend": legend}

    y: dict[str, Any] = {"field": "bits", "type": "quantitative", "title": "bits"}
    y |= {"axis": {"domain": False, "ticks": False, "tickCount": 5}}
    if not any(row["bits"] for row in rows):
        y["scale"] = {"domain": [0, 1]}
    color = series(COLOURS)
    # A scale of dashes would also dash the outlines of the points in the legend.
    tests = [{"test": f"datum.line === {json.dumps(name)}", "value": dash} for name, dash in zip(names, DASHES, strict=False)]
    dash = series(DASHES) if thin else {"condition": tests, "value": DASHES[0]}
    points = {"y": y, "color": color} | ({} if thin else {"shape": series(SHAPES)})
    point = {"type": "point", "filled": True, "size": 8 if small else 45, "opacity": 1}
    layers: list[dict[str, Any]] = []
    if any("low" in row for row in rows):
        interval = {"y": y | {"field": "low"}, "y2": {"field": "high"}, "color": color}
        layers.append({"mark": {"type": "area", "opacity": 0.14, "tooltip": None}, "encoding": interval})
        layers.append({"mark": {"type": "rule", "opacity": 0.35}, "encoding": interval})
    drawn = {"y": y, "color": color, "strokeDash": dash}
    layers += [layer({"type": "line", "strokeWidth": 1}, drawn, "datum.thin")] * thin
    layers.append(layer({"type": "line", "strokeWidth": 2}, drawn, _BOLD))
    layers.append(layer(point, points | {"tooltip": tooltip}, _BOLD))
    if any(row["impossible"] for row in rows):
        top = {"y": {"value": 0}, "color": color, "tooltip": tooltip}
        layers.append(layer({"type": "point", "shape": "triangle-up", "size": 90, "opacity": 1}, top, "datum.impossible"))
    return layers


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
    columns = max(1, int(width / each))
    return {"title": None, "orient": "top", "columns": columns, "labelLimit": 320, "symbolSize": 80, "symbolOpacity": 1}


def _tooltip(name: str, text: str) -> dict[str, Any]:
    numeric = name in ("bits", "low", "high", "entropy")
    return {"field": name, "title": text, **({"type": "quantitative", "format": ".3f"} if numeric else {"type": "nominal"})}
