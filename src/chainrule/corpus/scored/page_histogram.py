"""Histograms of the page: inline SVG, stretched to the width of the page, with labels in HTML, whose size is not stretched."""

from __future__ import annotations

from html import escape

from chainrule.corpus.scored.histogram import Histogram
from chainrule.corpus.scored.page_numbers import shown_bound, shown_number, ticks

_GAP = 0.06  # the share of a bin that is free at each side
_SMALL = 24  # the height of a small histogram, in its own units

STYLE = """
.plot { position: relative; margin: 1.6em 0 0; padding-left: 3.6em; }
.plot .area { position: relative; height: 14em; border-bottom: 1px solid var(--muted); }
.plot svg { position: absolute; inset: 0; width: 100%; height: 100%; display: block; }
.plot .line { position: absolute; left: 0; right: 0; border-top: 1px solid var(--grid); }
.plot .line span { position: absolute; right: 100%; top: -.75em; padding-right: .5em; white-space: nowrap; }
.plot .bounds { position: relative; height: 1.6em; }
.plot .bounds span { position: absolute; top: .2em; transform: translateX(-50%); white-space: nowrap; }
.plot .line span, .plot .bounds span, .plot .name { font-size: .85em; color: var(--muted); font-variant-numeric: tabular-nums; }
.plot .name { text-align: center; }
svg .bin { fill: var(--bar); }
svg.small { display: block; width: 8em; height: 1.7em; }
@media print { svg { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""


def figure(own: Histogram) -> str:
    """A histogram with its axes, a sentence on what lies outside, and its numbers in a table that can be opened."""
    most = max(own.counts)
    if not most:
        return "<p>No document has a number within the bounds.</p>\n"
    low, high = own.bounds[0], own.bounds[-1]
    lines = "".join(
        f'<div class="line" style="bottom:{100 * count / (1.04 * most):.2f}%"><span>{shown_number(int(count))}</span></div>'
        for count in ticks(0, most, 5)
        if count and count == int(count)
    )
    marks = ticks(low, high, 6)
    bounds = "".join(f'<span style="left:{100 * (x - low) / (high - low):.2f}%">{shown_bound(x)}</span>' for x in marks)
    label = (
        f"Histogram of bits per byte of the documents, from {shown_bound(low)} to {shown_bound(high)}. "
        f"The fullest bin, {_bin(own, own.counts.index(most))}, has {_documents(most)}."
    )
    return (
        '<div class="plot">\n<div class="area">'
        f'<div aria-hidden="true">{lines}</div>\n{_svg(own, 1.04 * most, 100, label)}</div>\n'
        f'<div class="bounds" aria-hidden="true">{bounds}</div>\n'
        '<div class="name" aria-hidden="true">bits per byte</div>\n</div>\n'
        f"{_outside(own)}{_table(own)}"
    )


def small(own: Histogram, name: str) -> str:
    """A histogram without axes, of its own height."""
    if not own.counts or not max(own.counts):
        return ""
    return _svg(own, max(own.counts), _SMALL, f"Histogram of bits per byte: {name}", small=True)


def _svg(own: Histogram, top: float, height: int, label: str, small: bool = False) -> str:
    bars = []
    for i, count in enumerate(own.counts):
        if count:
            tall = max(height * count / top, 0.006 * height)  # a single document stays visible
            title = "" if small else f"<title>{_bin(own, i)}: {_documents(count)}</title>"
            shape = f'x="{i + _GAP:.2f}" y="{height - tall:.3f}" width="{1 - 2 * _GAP:.2f}" height="{tall:.3f}"'
            bars.append(f'<rect class="bin" {shape}>{title}</rect>')
    style = ' class="small"' if small else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg"{style} role="img" aria-label="{escape(label)}" '
        f'viewBox="0 0 {len(own.counts)} {height}" preserveAspectRatio="none">{"".join(bars)}</svg>'
    )


def _outside(own: Histogram) -> str:
    """What the bars do not show."""
    parts = []
    if own.under:
        parts.append(f"{_documents(own.under)} below {shown_bound(own.bounds[0])}")
    if own.over:
        parts.append(f"{_documents(own.over)} above {shown_bound(own.bounds[-1])}")
    if own.infinite:
        parts.append(f"{_documents(own.infinite)} with an infinite number, because the probability is 0")
    return f'<p class="note">Not shown: {"; ".join(parts)}.</p>\n' if parts else ""


def _table(own: Histogram) -> str:
    rows = "".join(
        f'<tr><th scope="row">{_bin(own, i)}</th><td>{shown_number(count)}</td></tr>\n' for i, count in enumerate(own.counts)
    )
    return (
        "<details><summary>The numbers of the histogram</summary>\n<table>\n<thead><tr>"
        f'<th scope="col">bits per byte</th><th scope="col">documents</th></tr></thead>\n'
        f"<tbody>\n{rows}</tbody>\n</table>\n</details>\n"
    )


def _bin(own: Histogram, place: int) -> str:
    return f"{shown_bound(own.bounds[place])} to {shown_bound(own.bounds[place + 1])}"


def _documents(number: int) -> str:
    return f"{shown_number(number)} document{'s' * (number != 1)}"
