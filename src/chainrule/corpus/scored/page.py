"""A summary of a corpus as a page of HTML, which needs no script and no other file. It is well-formed XML too."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from chainrule.corpus.scored import page_histogram
from chainrule.corpus.scored.page_numbers import group_name, shown_number
from chainrule.corpus.scored.summary import Distribution, Figures, Summary

_MOST = 100  # groups that are shown

_STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --page: #ffffff; --muted: #595959; --grid: #e4e4e4; --bar: #0072b2; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e8e8; --page: #16181d; --muted: #a3a7ae; --grid: #33373f; --bar: #56b4e9; } }
@media print { :root { --ink: #000000; --page: #ffffff; --muted: #444444; --grid: #dddddd; --bar: #0072b2; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.2em; max-width: 60em; color: var(--ink); background: var(--page);
  font: 15px/1.45 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.5em; line-height: 1.25; margin: 0 0 .3em; overflow-wrap: anywhere; }
h2 { font-size: 1.15em; margin: 2em 0 .5em; overflow-wrap: anywhere; }
p { margin: .4em 0; } .note { color: var(--muted); font-size: .9em; }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(max(8.2em, 21%), 1fr)); gap: .9em 1.2em; margin: 1.2em 0; }
dl div { display: flex; flex-direction: column; } dt { color: var(--muted); font-size: .85em; }
dd { margin: 0; font-size: 1.25em; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .4em 0; }
th, td { padding: .3em .7em; text-align: right; vertical-align: top; white-space: nowrap; }
th:first-child, td:first-child { padding-left: 0; }
th[scope=row] { font-weight: normal; } th.left { text-align: left; }
th[scope=row], td.text { white-space: normal; overflow-wrap: anywhere; min-width: 7em; max-width: 30em; text-align: left; }
thead th { border-bottom: 1px solid var(--muted); vertical-align: bottom; font-size: .9em; font-weight: bold; }
thead th:first-child { text-align: left; } tbody tr { border-bottom: 1px solid var(--grid); }
td.text { color: var(--muted); } details { margin: .6em 0; } summary { cursor: pointer; }
@media print { body { padding: 0; max-width: none; font-size: 10pt; } .scroll { overflow: visible; }
  tr, dl div, .plot { break-inside: avoid; } h2 { break-after: avoid; } details:not([open]) { display: none; } }
"""


def summary_page(summary: Summary) -> str:
    """The page: the totals, a histogram of bits per byte, the distributions, the reasons of failures, and the groups."""
    whole, name = summary.whole, escape(_printable(summary.source))
    sections = [_totals(whole)]
    if whole.histogram.counts:
        sections.append(f"<h2>Bits per byte of the documents</h2>\n{page_histogram.figure(whole.histogram)}")
    sections += [_distributions(whole), _reasons(whole), _groups(summary)]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8"/>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>\n'
        f"<title>{name} – chainrule corpus</title>\n<style>{_STYLE}{page_histogram.STYLE}</style>\n</head>\n<body>\n<main>\n"
        f'<h1>Corpus <bdi lang="" translate="no">{name}</bdi></h1>\n{"".join(sections)}</main>\n</body>\n</html>\n'
    )


def _totals(own: Figures) -> str:
    named = {
        "documents": own.documents,
        "scored": own.documents - own.failed,
        "not scored": own.failed,
        "tokens": own.tokens,
        "bytes": own.bytes,
        "bits per byte": shown_number(own.bits_per_byte, 4),
        "perplexity": own.perplexity,
        "log Pr (nats)": shown_number(own.logprob, 1),
    }
    items = "".join(
        f"<div><dt>{name}</dt><dd>{number if isinstance(number, str) else shown_number(number)}</dd></div>\n"
        for name, number in named.items()
    )
    return (
        f"<dl>\n{items}</dl>\n"
        '<p class="note">Tokens, bytes and log Pr are sums over the scored documents. Bits per byte are all bits over all '
        "bytes, and the perplexity is over all tokens.</p>\n"
    )


def _distributions(own: Figures) -> str:
    """The quantiles of the documents."""
    rows = [
        _spread(name, distribution, digits)
        for name, distribution, digits in (
            ("bits per byte", own.of_bits_per_byte, 4),
            ("perplexity", own.of_perplexity, 2),
            ("tokens", own.of_tokens, 1),
        )
        if distribution is not None
    ]
    if not rows:
        return ""
    heads = ["per document", "mean", "least", "5 %", "25 %", "median", "75 %", "95 %", "greatest"]
    return f"<h2>Distribution over documents</h2>\n{_table(heads, rows, 'distribution over documents')}"


def _spread(name: str, own: Distribution, digits: int) -> str:
    quantiles = (own.minimum, own.p5, own.p25, own.median, own.p75, own.p95, own.maximum)
    return _row(name, [shown_number(number, digits) for number in (own.mean, *quantiles)])


def _reasons(own: Figures) -> str:
    if not own.failed:
        return ""
    rows = [
        _row(reason.reason, [shown_number(reason.documents)], f'<td class="text"><bdi>{_text(reason.example)}</bdi></td>')
        for reason in own.reasons
    ]
    rest = own.failed - sum(reason.documents for reason in own.reasons)
    note = f'<p class="note">{shown_number(rest)} more with other reasons.</p>\n' if rest else ""
    return (
        f"<h2>Documents that were not scored</h2>\n{_table(['reason', 'documents', 'first example'], rows, 'reasons', 2)}{note}"
    )


def _groups(summary: Summary) -> str:
    """A row for each of the largest groups."""
    if summary.by is None:
        return ""
    shown = summary.groups[:_MOST]
    heads = ["group", "documents", "not scored", "tokens", "bits per byte", "perplexity", "median", "histogram"]
    rows = [_group(own) for own in shown]
    rest = len(summary.groups) - len(shown)
    note = '<p class="note">median: of bits per byte of the documents; all histograms have the bounds of that above.'
    note += f" The {_MOST} largest groups; {rest:,} more are left out.</p>\n" if rest else "</p>\n"
    return f"<h2>Groups by <bdi>{_text(summary.by)}</bdi></h2>\n{_table(heads, rows, 'groups', 7)}{note}"


def _group(own: Figures) -> str:
    median = None if own.of_bits_per_byte is None else own.of_bits_per_byte.median
    cells = [shown_number(own.documents), shown_number(own.failed), shown_number(own.tokens)]
    cells += [shown_number(own.bits_per_byte, 4), shown_number(own.perplexity, 2), shown_number(median, 4)]
    name = group_name(own.value)
    return _row(name, [*cells, page_histogram.small(own.histogram, _printable(name))])


def _table(heads: Sequence[str], rows: Sequence[str], label: str, left: int | None = None) -> str:
    """left: the place of a column that is aligned at the left."""
    names = "".join(f'<th scope="col"{_LEFT if place == left else ""}>{head}</th>' for place, head in enumerate(heads))
    body = "\n".join(rows)
    return (
        f'<div class="scroll" role="region" aria-label="{label}" tabindex="0">\n<table>\n<thead>\n<tr>{names}</tr>\n</thead>\n'
        f"<tbody>\n{body}\n</tbody>\n</table>\n</div>\n"
    )


_LEFT = ' class="left"'


def _row(name: str, cells: Sequence[str], more: str = "") -> str:
    """name: any text. cells: markup. more: further cells with their tags."""
    return f'<tr><th scope="row"><bdi>{_text(name)}</bdi></th>{"".join(f"<td>{cell}</td>" for cell in cells)}{more}</tr>'


def _text(text: str) -> str:
    """A text of the user as markup; of a long one the beginning."""
    return escape(_printable(text if len(text) <= 300 else text[:299] + "…"))


def _printable(text: str) -> str:
    """Without control characters and halves of characters, which XML and UTF-8 do not have."""
    return "".join(c if c.isprintable() or c == " " else "\ufffd" for c in text)
