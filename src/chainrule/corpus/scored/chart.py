"""A chart of a summary: the histogram of bits per byte, or a line for each of the largest groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chainrule.corpus.scored.page_numbers import group_name, shown_number
from chainrule.corpus.scored.summary import Figures, Summary
from chainrule.display.plots.lines import unique_names
from chainrule.display.plots.parts import COLOURS, DASHES, MOST, altair_chart, begun, one_line, title
from chainrule.errors import OutputError, require
from chainrule.results.units import count

if TYPE_CHECKING:
    import altair

_WIDTH, _HEIGHT = 560, 260
_X = "bits per byte"


def histogram_chart(summary: Summary) -> altair.TopLevelMixin:
    """The histogram of all documents; with groups, the share of each group's documents in each bin, for at most 8 groups.

    Raises OutputError without the extra `plot`, and if no document has a finite number of bits per byte.
    """
    require("plot", "plot", OutputError)
    if not summary.whole.histogram.bounds:
        raise OutputError("there is nothing to plot: no document has a finite number of bits per byte")
    groups = [group for group in summary.groups if sum(group.histogram.counts)][:MOST]
    part = _lines(groups) if groups else _bars(summary.whole)
    heading = "Bits per byte of documents" + (
        f", by {begun(one_line(summary.by))}" if groups and summary.by is not None else ""
    )
    head = title(heading, _notes(summary, groups), _WIDTH)
    return altair_chart({"title": head, "width": _WIDTH, "height": _HEIGHT, **part})


def _notes(summary: Summary, groups: list[Figures]) -> list[str]:
    own = summary.whole
    totals = f"{own.documents:,} documents, {own.failed:,} not scored, {own.tokens:,} tokens"
    notes = [f"{begun(one_line(summary.source))}: {totals}, {shown_number(own.bits_per_byte, 4)} bits per byte in all"]
    if groups:
        notes.append("share of the scored documents of each group in each bin")
    if len(groups) < len(summary.groups):
        notes.append(f"the {len(groups)} largest of {len(summary.groups)} groups")
    outside = own.histogram.under + own.histogram.over
    return [
        *notes,
        *[f"not shown: {count(outside, 'document')} outside these bounds"] * bool(outside),
        *[f"infinite, because the probability is 0: {count(own.histogram.infinite, 'document')}"]
        * bool(own.histogram.infinite),
    ]


def _bars(own: Figures) -> dict[str, Any]:
    bounds, counts = own.histogram.bounds, own.histogram.counts
    rows = [
        {"from": low, "to": high, "documents": number, "bin": f"{low:.12g} to {high:.12g}"}
        for low, high, number in zip(bounds[:-1], bounds[1:], counts, strict=True)
    ]
    tooltip = [{"field": "bin", "type": "nominal", "title": _X}, {"field": "documents", "type": "quantitative", "format": ","}]
    encoding = {
        "x": _axis("from", bounds),
        "x2": {"field": "to"},
        "y": {"field": "documents", "type": "quantitative", "axis": {"domain": False, "ticks": False, "tickCount": 5}},
        "y2": {"datum": 0},
        "tooltip": tooltip,
    }
    mark = {"type": "rect", "color": COLOURS[0], "stroke": "white"}
    return {"data": {"values": rows}, "layer": [{"mark": mark, "encoding": encoding}]}


def _lines(groups: list[Figures]) -> dict[str, Any]:
    """A line of steps for each group. Its last point ends the last bin."""
    names = unique_names([group_name(group.value) for group in groups])
    rows = [row for name, group in zip(names, groups, strict=True) for row in _steps(name, group)]

    def series(values: list[Any]) -> dict[str, Any]:
        legend = {"title": None, "orient": "top", "columns": 4, "labelLimit": 320}
        return {
            "field": "group",
            "type": "nominal",
            "scale": {"domain": names, "range": values[: len(names)]},
            "legend": legend,
        }

    y = {"field": "share", "type": "quantitative", "title": "share of documents"}
    encoding = {
        "x": _axis("from", groups[0].histogram.bounds),
        "y": y | {"axis": {"format": ".1~%", "domain": False, "ticks": False, "tickCount": 5}},
        "color": series(COLOURS),
        "strokeDash": series(DASHES),
        "tooltip": [{"field": "group", "type": "nominal"}, {"field": "documents", "type": "quantitative", "format": ","}],
    }
    mark = {"type": "line", "interpolate": "step-after", "strokeWidth": 2}
    return {"data": {"values": rows}, "layer": [{"mark": mark, "encoding": encoding}]}


def _steps(name: str, group: Figures) -> list[dict[str, Any]]:
    scored = group.of_bits_per_byte.documents if group.of_bits_per_byte is not None else 0
    counts = [*group.histogram.counts, group.histogram.counts[-1]]
    return [
        {"group": name, "from": low, "documents": number, "share": number / scored}
        for low, number in zip(group.histogram.bounds, counts, strict=True)
    ]


def _axis(field: str, bounds: tuple[float, ...]) -> dict[str, Any]:
    scale = {"domain": [bounds[0], bounds[-1]], "nice": False}
    return {"field": field, "type": "quantitative", "title": _X, "scale": scale, "axis": {"grid": False, "domainColor": "#888"}}
