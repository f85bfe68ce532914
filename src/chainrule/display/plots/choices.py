"""A reliability diagram: the accuracy of predicted choices against their confidence, and the number of questions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chainrule.display.plots.parts import COLOURS, altair_chart, layer, title
from chainrule.results.choices import Choices
from chainrule.results.tally import Bin, Calibration, Tally

if TYPE_CHECKING:
    import altair

_WIDTH, _HEIGHT = 340, 300
_INSET = 0.08  # the share of a bar that is left free at each side


def reliability_chart(choices: Choices, bins: int = 10, by: str = "width") -> altair.TopLevelMixin:
    """See `Choices.plot`."""
    plot = ReliabilityPlot(bins, by)
    plot.add(choices)
    return plot.chart()


class ReliabilityPlot:
    """The calibration of all questions."""

    def __init__(self, bins: int, by: str) -> None:
        self._bins, self._by = bins, by
        self._parts: list[Tally] = []
        self._notes: list[str] = []

    def add(self, choices: Choices) -> None:
        self._parts.append(choices.tally)
        self._notes = [choices.identity.describe(), *choices.scores[0].remarks[: choices.scores.temperature != 1]]

    def left_out(self) -> list[str]:
        """What the chart shows of the questions, if not all."""
        tally = Tally.joined(self._parts)
        n = tally.calibration(self._bins, self._by).n
        return [] if n == len(tally.answer) else [f"{n} of {len(tally.answer)} questions: those with an answer"]

    def chart(self) -> altair.TopLevelMixin:
        own = Tally.joined(self._parts).calibration(self._bins, self._by)
        ece, _, rest = own.describe().partition("), ")
        lines = [
            *self._notes,
            f"{ece}),",
            rest,
            "dashed: accuracy = confidence; lines: 95 % Wilson intervals",
            *self.left_out(),
        ]
        head = title("Accuracy and confidence (Pr of the predicted choice within the set)", lines, _WIDTH + 200)
        parts = [_reliability(own), _counts(own)]
        return altair_chart({"title": head, "vconcat": parts, "resolve": {"scale": {"x": "shared"}}, "spacing": 8})


def _reliability(own: Calibration) -> dict[str, Any]:
    """Bars from 0 to the accuracy of each bin, points at its mean confidence, intervals, and the diagonal."""
    ends = [{"diagonal": True, "from": 0, "to": 1}]
    rows: list[dict[str, Any]] = [*ends, *(_row(each, own) for each in own.bins)]
    y = _axis("accuracy", "accuracy")
    tooltip = [{"field": name, "type": "nominal", "title": text} for name, text in _TOOLTIPS.items()]
    bar = {"x": _axis("left", None), "x2": {"field": "right"}, "y": y, "y2": {"datum": 0}, "tooltip": tooltip}
    at = {"x": _axis("confidence", None), "y": y, "tooltip": tooltip}
    whole = {"x": _axis("from", None), "x2": {"field": "to"}, "y": _axis("from", "accuracy"), "y2": {"field": "to"}}
    interval = {"x": _axis("confidence", None), "y": _axis("low", "accuracy"), "y2": {"field": "high"}}
    shown = "datum.n > 0"
    return {
        "width": _WIDTH,
        "height": _HEIGHT,
        "data": {"values": rows},
        "layer": [
            layer({"type": "rect", "color": COLOURS[5], "opacity": 0.55}, bar, shown),
            layer({"type": "rule", "strokeDash": [5, 4], "color": "#555"}, whole, "datum.diagonal"),
            layer({"type": "rule", "color": COLOURS[0]}, interval, shown),
            layer({"type": "point", "filled": True, "size": 40, "opacity": 1, "color": COLOURS[0]}, at, shown),
        ],
    }


def _counts(own: Calibration) -> dict[str, Any]:
    """The number of questions of each bin, as bars with the number above."""
    rows = [_row(each, own) for each in own.bins if each.n]
    most = max(each.n for each in own.bins)
    y: dict[str, Any] = {
        "field": "n",
        "type": "quantitative",
        "title": "questions",
        "axis": {"tickCount": 3, "domain": False, "ticks": False},
    }
    y["scale"] = {"domain": [0, 1.25 * most], "nice": False}
    x = _axis("left", "confidence")
    middle = {"x": _axis("middle", "confidence"), "y": y, "text": {"field": "n", "type": "quantitative"}}
    return {
        "width": _WIDTH,
        "height": 70,
        "data": {"values": rows},
        "layer": [
            {"mark": {"type": "rect", "color": COLOURS[7], "opacity": 0.6},
             "encoding": {"x": x, "x2": {"field": "right"}, "y": y, "y2": {"datum": 0}}},
            {"mark": {"type": "text", "dy": -6, "fontSize": 9, "color": "#333"}, "encoding": middle,
             "transform": [{"filter": "datum.labelled"}]},
        ],
    }  # fmt: skip


_TOOLTIPS = {"bin": "confidence", "mean": "mean confidence", "share": "accuracy", "interval": "95 % interval", "n": "questions"}


def _row(each: Bin, own: Calibration) -> dict[str, Any]:
    least = 0.0 if own.by == "width" else 0.004  # bins of one confidence have no width
    inset = _INSET * (each.high - each.low)
    middle = (each.low + each.high) / 2
    half = max(least, (each.high - each.low) / 2 - inset)
    labelled = 2 * half * _WIDTH >= 5 * len(str(each.n))  # otherwise the numbers of narrow bins would overlap
    row = {
        "n": each.n,
        "left": middle - half,
        "right": middle + half,
        "middle": middle,
        "labelled": labelled,
        "diagonal": False,
    }
    if each.confidence is None or each.accuracy is None:
        return row
    return row | {
        "confidence": each.confidence,
        "accuracy": each.accuracy,
        "low": each.accuracy_low,
        "high": each.accuracy_high,
        "bin": f"{each.low:.3f} to {each.high:.3f}",
        "mean": f"{each.confidence:.4f}",
        "share": f"{each.accuracy:.4f} ({each.successes} of {each.n})",
        "interval": f"{each.accuracy_low:.3f} to {each.accuracy_high:.3f}",
    }


def _axis(field: str, heading: str | None) -> dict[str, Any]:
    axis = {"tickCount": 5, "domain": False, "ticks": False} | (
        {} if heading == "confidence" or heading == "accuracy" else {"labels": False}
    )
    return {"field": field, "type": "quantitative", "title": heading, "scale": {"domain": [0, 1]}, "axis": axis}
