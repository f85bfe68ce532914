"""An explanation in HTML: a table for a notebook, and a document that needs nothing else. Both are well-formed XML too."""

from __future__ import annotations

import re
from html import escape

from chainrule.display.export.lines import (
    ALTERNATIVES,
    FACTOR,
    LOG,
    PROBABILITY,
    RANK,
    RUNNING,
    SURPRISAL,
    TOKEN,
    Exported,
    Line,
)
from chainrule.display.export.signs import typeset
from chainrule.results.explanation import Explanation

_BAR = 6.0  # em, the length of a bar that is full

# The colours of the text and of the page are those of the notebook or of the document, light or dark.
_TABLE_STYLE = """
.chainrule table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
.chainrule caption { caption-side: top; text-align: left; padding: .3em 0 .6em; font-weight: bold; }
.chainrule th, .chainrule td { padding: .25em .7em; text-align: right; white-space: nowrap; }
.chainrule th:first-child { padding-left: 0; }
.chainrule th[scope=row], .chainrule .left { text-align: left; }
.chainrule th[scope=row] { font-weight: normal; }
.chainrule thead th { vertical-align: bottom; line-height: 1.2; }
.chainrule thead small { font-weight: normal; }
.chainrule sub { line-height: 0; }
.chainrule thead { border-top: 2px solid currentColor; border-bottom: 1px solid currentColor; }
.chainrule tfoot { border-top: 1px solid currentColor; border-bottom: 2px solid currentColor; }
.chainrule code { font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; background: none; color: inherit; }
.chainrule .bits { min-width: 10.5em; }
.chainrule .bar { float: left; height: .8em; margin-top: .3em; background: #cc4433; print-color-adjust: exact; }
.chainrule .others { white-space: normal; min-width: 16em; }
.chainrule .others span { white-space: nowrap; }
.chainrule tr { break-inside: avoid; }
.chainrule p { margin: .3em 0; font-size: .9em; }
"""

_PAGE_STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --page: #ffffff; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8e8; --page: #16181d; } }
@media print { :root { --ink: #000000; --page: #ffffff; } }
body { margin: 1.5em auto; padding: 0 1.5em; width: fit-content; max-width: calc(100% - 3em); box-sizing: content-box;
  font: 15px/1.45 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  color: var(--ink); background: var(--page); }
h1 { font-size: 1.2em; max-width: 50em; overflow-wrap: anywhere; }
.chainrule .scroll { overflow-x: auto; }
@media print { body { margin: 0; padding: 0; font-size: 10pt; } .chainrule .scroll { overflow: visible; } }
"""


def html_table(explanation: Explanation) -> str:
    """The table with its style, for a notebook."""
    return _table(Exported(explanation), f"<style>{_TABLE_STYLE}</style>")


def html_document(explanation: Explanation) -> str:
    """A document with the text as its heading."""
    exported = Exported(explanation)
    heading = escape(exported.text or f"{len(exported.lines)} factors")
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8"/>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>\n'
        f"<title>{heading} – chainrule</title>\n<style>{_TABLE_STYLE}{_PAGE_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f'<h1 lang="" dir="auto">{heading}</h1>\n{_table(exported)}</main>\n</body>\n</html>\n'
    )


def _table(exported: Exported, style: str = "") -> str:
    caption = escape(exported.caption(typeset(exported.total.probability)))
    left = {FACTOR, TOKEN, ALTERNATIVES}
    names = [FACTOR, TOKEN, PROBABILITY, SURPRISAL, LOG, RUNNING, RANK, *([ALTERNATIVES] if exported.has_alternatives else [])]
    heads = "".join(f'<th scope="col"{_LEFT if name in left else ""}>{_head(*name)}</th>' for name in names)
    rows = "\n".join(f"<tr>{_cells(line, exported.has_alternatives)}</tr>" for line in exported.lines)
    notes = "\n".join(f"<p>{escape(note)}</p>" for note in exported.notes)
    return (
        f'<div class="chainrule">{style}\n<div class="scroll" role="region" aria-label="factors" tabindex="0">\n'
        f"<table>\n<caption>{caption}</caption>\n<thead>\n<tr>{heads}</tr>\n</thead>\n<tbody>\n{rows}\n</tbody>\n"
        f"<tfoot>\n<tr>{_cells(exported.total, exported.has_alternatives)}</tr>\n</tfoot>\n</table>\n</div>\n{notes}\n</div>\n"
    )


_LEFT = ' class="left"'


def _head(name: str, unit: str) -> str:
    return name + (f"<br/><small>{unit}</small>" if unit else "")


def _cells(line: Line, has_alternatives: bool) -> str:
    bar = f'<span class="bar" aria-hidden="true" style="width:{_BAR * line.share:.2f}em"></span>' if line.share else ""
    pairs = [f"<span>{_token(token)} {typeset(number)}" for token, number in line.alternatives]
    alternatives = ",</span> ".join(pairs) + "</span>" * bool(pairs)
    return "".join(
        [
            f'<th scope="row">{_formula(line.formula)}</th>',
            f"<td{_LEFT}>{_token(line.token)}</td>",
            f"<td>{typeset(line.probability)}</td>",
            f'<td class="bits">{bar}{typeset(line.surprisal)}</td>',
            *(f"<td>{typeset(number)}</td>" for number in (line.logprob, line.running, line.rank)),
            f'<td class="left others">{alternatives}</td>' if has_alternatives else "",
        ]
    )


def _token(token: str) -> str:
    """Isolated, so that its direction does not change that of the line, and in no known language."""
    return f'<bdi lang="" translate="no"><code>{escape(token)}</code></bdi>' if token else ""


def _formula(formula: str) -> str:
    """Pr(x_2 | s, e_0) with italic letters and indices."""
    return re.sub(
        r"\b([xes])(?:_(\d+))?\b(?=[ ,)|])", lambda m: f"<i>{m[1]}</i>" + (f"<sub>{m[2]}</sub>" if m[2] else ""), formula
    )
