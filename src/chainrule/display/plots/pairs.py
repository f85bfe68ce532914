"""Charts of minimal pairs: the two log probabilities of each pair, joined by a line."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from chainrule.display.plots.parts import COLOURS, altair_chart, labelled, layer, title
from chainrule.results.pairs import Pairs

if TYPE_CHECKING:
    import altair

MOST = 50  # pairs that a chart shows
_COLOURS = {"good": COLOURS[0], "bad": COLOURS[1], "tie": COLOURS[-1]}
_SIDES = ("good", "bad")
_WIDTH = 380


class _Point(NamedTuple):
    """A pair."""

    good: str
    bad: str
    logprob: list[float]  # of the good and the bad text
    difference: float
    winner: str


def pairs_chart(pairs: Pairs) -> altair.TopLevelMixin:
    """See `Pairs.plot`."""
    plot = PairPlot()
    plot.add(pairs)
    return plot.chart()


class PairPlot:
    """The first pairs, or the first pairs of each of the first phenomena."""

    def __init__(self) -> None:
        self._pairs, self._groups = 0, dict[str | None, list[_Point]]()
        self._all: set[str | None] = set()
        self._notes: list[str] = []
        self._region = False

    def add(self, pairs: Pairs) -> None:
        phenomena = pairs.phenomena or [None] * len(pairs)
        self._pairs += len(pairs)
        self._all |= set(phenomena)
        self._region = pairs.regions is not None
        self._notes = [pairs.identity.describe(), *pairs.scores[0].remarks[: pairs.scores.temperature != 1]]
        texts = [request.text or "" for request in pairs.scores.requests]
        differences, winners, logprob = pairs.difference_nats.tolist(), pairs.winners(), pairs.logprob.tolist()
        for i, phenomenon in enumerate(phenomena):
            if phenomenon not in self._groups and len(self._groups) == MOST:
                continue
            group = self._groups.setdefault(phenomenon, [])
            if len(group) < MOST:
                good, bad = texts[2 * i], texts[2 * i + 1]
                group.append(_Point(good, bad, logprob[i], differences[i], winners[i] or "tie"))

    def left_out(self) -> list[str]:
        """What the chart shows of the pairs, if not all."""
        each, shown = self._each, sum(len(points) for points in self._shown().values())
        if shown == self._pairs:
            return []
        groups = "the" if len(self._groups) == len(self._all) else str(len(self._groups))
        parts = "" if None in self._groups else f" of each of {groups} phenomena"
        return [f"{shown} of {self._pairs} pairs: the first {each}{parts}"]

    @property
    def _each(self) -> int:
        """The most pairs of a phenomenon that the chart shows."""
        return max(1, MOST // len(self._groups))

    def _shown(self) -> dict[str | None, list[_Point]]:
        return {name: points[: self._each] for name, points in self._groups.items()}

    def chart(self) -> altair.TopLevelMixin:
        groups = self._shown()
        shown = [point for points in groups.values() for point in points]
        notes = [*self._notes, "circles: the good texts; diamonds: the bad texts", *self.left_out()]
        if len(groups) == 1 and None not in groups:
            notes.append(f"phenomenon: {next(iter(groups))}")
        if any(map(math.isinf, (value for point in shown for value in point.logprob))):
            notes.append("triangles at the left: log Pr = −∞, because the probability is 0")
        winners = [name for name in _COLOURS if any(point.winner == name for point in shown)]
        what = "the region" if self._region else "the text"
        charts = [_group(name, points, winners, f"log Pr of {what} (nats)") for name, points in groups.items()]
        for chart in charts[:-1]:
            chart["encoding"]["x"]["axis"] |= {"labels": False, "ticks": False, "title": None}
        head = title("Minimal pairs, sorted by the difference of log Pr (nats)", notes, _WIDTH + 200)
        if len(charts) == 1:
            return altair_chart(charts[0] | {"title": head})
        return altair_chart({"title": head, "vconcat": charts, "resolve": {"scale": {"x": "shared"}}, "spacing": 12})


def _group(name: str | None, points: list[_Point], winners: list[str], heading: str) -> dict[str, Any]:
    """One part of the chart: pairs sorted by the difference, the largest first."""
    ordered = sorted(points, key=lambda point: -point.difference)
    rows = [row for i, point in enumerate(ordered) for row in _rows(i, point)]
    finite = [value for point in points for value in point.logprob if math.isfinite(value)]
    color = {
        "field": "winner",
        "type": "nominal",
        "title": "more probable",
        "scale": {"domain": winners, "range": [_COLOURS[winner] for winner in winners]},
        "legend": {"orient": "top", "direction": "horizontal", "symbolType": "square", "titleOrient": "left"},
    }
    x: dict[str, Any] = {
        "field": "logprob",
        "type": "quantitative",
        "scale": {"zero": False, "nice": True, "padding": 12},
        "axis": {"title": heading, "tickCount": 6, "domainColor": "#888"},
    }
    y = {
        "field": "pair",
        "type": "ordinal",
        "axis": {"title": None, "labelExpr": labelled([point.good for point in ordered]), "labelLimit": 240,
            "labelPadding": 10, "ticks": False,
                 "domain": False, "grid": True},
    }  # fmt: skip
    tooltip = [
        {"field": "good", "type": "nominal", "title": "good"},
        {"field": "bad", "type": "nominal", "title": "bad"},
        {"field": "value", "type": "nominal", "title": "log Pr (nats)"},
        {"field": "difference", "type": "nominal", "title": "good − bad (nats)"},
        {"field": "winner", "type": "nominal", "title": "more probable"},
    ]
    ends = {"x": x, "x2": {"field": "other"}, "color": color}
    both = {"color": color, "tooltip": tooltip}
    open_mark = {"type": "point", "size": 120, "opacity": 1, "fill": "white", "strokeWidth": 1.5}
    layers = [
        layer({"type": "rule", "strokeWidth": 2}, ends, "datum.joined"),
        layer(open_mark | {"shape": "diamond"}, both, "datum.side === 'bad'"),
        layer({"type": "point", "filled": True, "size": 40, "opacity": 1}, both, "datum.side === 'good'"),
    ]
    if len(finite) < 2 * len(points):
        left = {"x": x | {"field": "other"}, "x2": {"value": 0}, "color": color}
        layers.append(layer({"type": "rule", "strokeDash": [3, 3]}, left, "datum.impossible"))
        layers.append(layer(open_mark | {"shape": "triangle-left"}, both | {"x": {"value": 0}}, "datum.impossible"))
    part: dict[str, Any] = {
        "width": _WIDTH,
        "height": {"step": 20},
        "data": {"values": rows},
        "encoding": {"x": x, "y": y},
        "layer": layers,
    }
    return part if name is None else part | {"title": {"text": name, "anchor": "start", "frame": "group", "fontSize": 11}}


def _rows(i: int, point: _Point) -> list[dict[str, Any]]:
    """The two texts of a pair."""
    both = list(zip(_SIDES, point.logprob, reversed(point.logprob), strict=True))
    return [
        {
            "pair": i,
            "side": side,
            "logprob": value if math.isfinite(value) else None,
            "other": other if math.isfinite(other) else None,
            "joined": side == "good" and math.isfinite(value) and math.isfinite(other),
            "impossible": math.isinf(value),
            "value": f"{value:.4f}",
            "difference": f"{point.difference:.4f}",
            "winner": point.winner,
            "good": point.good,
            "bad": point.bad,
        }
        for side, value, other in both
    ]
