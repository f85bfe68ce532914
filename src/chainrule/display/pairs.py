"""Views of minimal pairs: one line per pair, and the accuracy by measure and phenomenon."""

from __future__ import annotations

import html
from collections.abc import Sequence

from chainrule.display.grid import Grid, column, numbers
from chainrule.display.scores import SHOWN, in_part, label, temperature_note
from chainrule.display.spans import Cell, Span, cell, forms_of_logprob
from chainrule.display.view import View, note, origin
from chainrule.results.accuracy import Accuracy
from chainrule.results.pairs import MEASURES, Pair, Pairs
from chainrule.results.units import count

_NAMES = {"logprob": "log Pr", "per_token": "per token", "per_byte": "per byte"}
_TIES = "A tie is no success, and it counts in n."


def pairs_view(pairs: Pairs) -> View:
    """One line per pair, then the accuracies."""
    return View(*each_view(pairs).parts, *accuracy_view(pairs.accuracy, pairs).parts)


def each_view(pairs: Pairs, total: int | None = None) -> View:
    """One line per pair. total: the number of pairs, if these are the first of more."""
    return View(_pairs_grid(pairs, pairs[:SHOWN], total or len(pairs)), *map(note, _remarks(pairs)))


def accuracy_view(accuracy: Sequence[Accuracy], pairs: Pairs) -> View:
    """One line per phenomenon, and the model. pairs: the pairs, or some of them."""
    ties = [note(_TIES)] if any(each.ties for each in accuracy) else []
    return View(accuracy_grid(accuracy), *ties, *temperature_note(pairs.scores.temperature), origin(pairs))


def accuracy_grid(accuracy: Sequence[Accuracy]) -> Grid:
    """One line per phenomenon, those of all pairs first: the accuracy by each measure, with its interval."""
    by_group: dict[str | None, dict[str, Accuracy]] = {}
    for each in accuracy:
        by_group.setdefault(each.group, {})[each.measure] = each
    groups = list(by_group)
    columns = {
        "pairs": column("fold", "pairs", [cell("all" if name is None else name, own=name is not None) for name in groups])
    }
    missing = dict.fromkeys(MEASURES, "") | {"logprob": "no intervals"}
    for measure in MEASURES:
        own = [by_group[name][measure] for name in groups]
        forms = [[cell(_share(each)) for each in own], [cell(_share(each, interval=True)) for each in own]]
        columns[measure] = numbers(f"accuracy,\n{_NAMES[measure]}", forms, [missing[measure]], _NAMES[measure])
    main = [by_group[name]["logprob"] for name in groups]
    columns["n"] = column("number", "n", [cell(str(each.n)) for each in main], "n")
    columns["ties"] = column("number", "ties,\nlog Pr", [cell(str(each.ties)) for each in main], "ties")
    return Grid(columns, ["pairs", "logprob", "n", "per_token", "per_byte", "ties", *MEASURES], 2)


def accuracy_lines(accuracy: Sequence[Accuracy]) -> list[str]:
    """The accuracies as lines of text: of all pairs by each measure, then of the first phenomena by log Pr."""
    every = [f"all pairs, {_NAMES[a.measure]}: {a.describe()}" for a in accuracy if a.group is None]
    groups = [
        f"{a.group}, {_NAMES[a.measure]}: {a.describe()}" for a in accuracy if a.group is not None and a.measure == "logprob"
    ]
    more = [f"{len(groups) - SHOWN} more phenomena: see --per accuracy"] if len(groups) > SHOWN else []
    return [*every, *groups[:SHOWN], *more]


def crossing_note(tokens: Sequence[str]) -> str:
    """A line about the tokens that cross the boundary of a region."""
    named = ", ".join(map(repr, dict.fromkeys(tokens[:3])))
    return f"{count(len(tokens), 'token')} of the regions also hold characters outside of them: {named}"


def pairs_html(pairs: Pairs) -> str:
    """Two tables: the accuracies, and the first pairs."""
    rows = [
        [html.escape("all" if a.group is None else a.group), _NAMES[a.measure], _share(a, interval=True), str(a.n), str(a.ties)]
        for a in pairs.accuracy
    ]
    accuracy = table_html(["pairs", "measure", "accuracy (95 % interval)", "n", "ties"], rows)
    shown = pairs[:SHOWN]
    lines = [
        [f"{pair.difference_nats:.6f}", pair.winner, *(html.escape(str(s.text or s.label)) for s in (pair.good, pair.bad))]
        for pair in shown
    ]
    each = table_html(["log Pr good − bad (nats)", "more probable", "good", "bad"], lines)
    below = [in_part(len(shown), len(pairs), "pairs"), *_remarks(pairs), _TIES if any(a.ties for a in pairs.accuracy) else ""]
    return f"{accuracy}{each}<small>{'<br>'.join(html.escape(line) for line in below if line)}</small>"


def table_html(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of HTML from cells that are escaped."""
    head = "".join(f"<th>{name}</th>" for name in heads)
    body = "".join(f"<tr>{''.join(f'<td>{c}</td>' for c in row)}</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _pairs_grid(pairs: Pairs, shown: Sequence[Pair], total: int) -> Grid:
    regions = pairs.regions
    boundary = pairs.boundary
    crosses = "token crosses" in boundary
    part = "" if regions is None else "\nregion"
    columns = {
        "difference": numbers(
            "good − bad\n(nats)", forms_of_logprob([pair.difference_nats for pair in shown]), ["differences to 3 decimals"]
        ),
        "winner": column("label", "more\nprobable", [cell(pair.winner) for pair in shown]),
        "good": column("cut", f"good{part}", [_text(pairs, i, 0) for i in range(len(shown))], "the good text"),
        "bad": column("cut", f"bad{part}", [_text(pairs, i, 1) for i in range(len(shown))], "the bad text"),
        "boundary": column("label", "region", [cell(each or "") for each in boundary[: len(shown)]], "region"),
    }
    plan = ["difference", "winner", "good", "bad", *(["boundary"] if crosses else []), "difference"]
    if not crosses:
        del columns["boundary"]
    return Grid(columns, plan, 3, caption=in_part(len(shown), total, "pairs"))


def _text(pairs: Pairs, i: int, side: int) -> Cell:
    """The text of a pair, or its region with the words before it cut."""
    if pairs.regions is None:
        return label(pairs.scores[2 * i + side])
    return (Span(pairs.regions.texts[2 * i + side], own=True),)


def _remarks(pairs: Pairs) -> list[str]:
    """Lines below the pairs: what is compared, and the tokens that cross the boundary of a region."""
    lines = []
    if pairs.regions is not None:
        lines.append("Only the factors of the critical regions are compared.")
        if pairs.crossing:
            lines.append(crossing_note(pairs.crossing))
    return lines


def _share(accuracy: Accuracy, interval: bool = False) -> str:
    if not accuracy.n:
        return ""
    low, high = accuracy.interval
    return f"{accuracy.accuracy:.3f}" + (f" ({low:.3f} to {high:.3f})" if interval else "")
