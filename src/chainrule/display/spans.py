"""Pieces of text with a style, in Unicode or, for terminals without it, in ASCII. Numbers as text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple
from unicodedata import category

from chainrule.results import units

if TYPE_CHECKING:
    from rich.text import Text

NOTE = "dim"
HEAD = "bold"
TOTAL = "bold"
LEVELS = (  # of surprisal: from so many bits, the style of a token
    (0.0, "", "under 4"),
    (4.0, "black on color(224)", "4 to 8"),
    (8.0, "underline black on color(217)", "8 to 12"),
    (12.0, "bold underline black on color(210)", "12 or more"),
)
_ASCII = str.maketrans(
    {"…": "...", "·": "*", "≤": "<=", "×": "x", "−": "-", "–": "-", "→": "->", "Σ": "sum ", "∞": "inf", "█": "#"}
)  # fmt: skip


class Span(NamedTuple):
    """Some text in one style."""

    text: str
    style: str = ""
    own: bool = False  # text of a user or a model: in ASCII it is escaped, so that it stays recognisable

    def shown(self, ascii: bool, one_line: bool = False) -> Span:
        """The span without control characters, on request in ASCII and without line breaks."""
        text = self.text
        if self.own:
            kept = "" if one_line else "\n\t"
            text = "".join(_escaped(c) if category(c) == "Cc" and c not in kept else c for c in text)
        elif ascii:
            text = text.translate(_ASCII)
        return self._replace(text=_escaped(text) if ascii and not text.isascii() else text)


def _escaped(text: str) -> str:
    return "".join(c if (c.isascii() and c.isprintable()) or c == "\n" else c.encode("unicode_escape").decode() for c in text)


Cell = tuple[Span, ...]


def cell(text: str, style: str = "", own: bool = False) -> Cell:
    """A cell of one span."""
    return (Span(text, style, own),)


def width(spans: Cell) -> int:
    """The number of columns of a terminal that the spans take."""
    from rich.cells import cell_len

    return sum(cell_len(span.text) for span in spans)


def shortened(spans: Cell, room: int, more: str = "…") -> Cell:
    """The spans, cut to `room` columns. What was cut is marked by `more`."""
    from rich.cells import cell_len, set_cell_size

    if width(spans) <= room:
        return spans
    kept, left = [], room - cell_len(more)
    for span in spans:
        size = cell_len(span.text)
        if size > left:
            kept.append(span._replace(text=set_cell_size(span.text, max(0, left)).rstrip() + more))
            break
        kept.append(span)
        left -= size
    return tuple(kept)


def folded(spans: Cell, room: int) -> list[Cell]:
    """The spans in lines of at most `room` columns."""
    from rich.cells import chop_cells

    text, style, own = "".join(span.text for span in spans), spans[0].style if spans else "", False
    return [cell(line, style, own) for line in chop_cells(text, max(1, room))] or [()]


def rich_text(spans: Cell) -> Text:
    from rich.text import Text

    return Text.assemble(*((span.text, span.style) for span in spans))


def level(logprob: float) -> str:
    """The style of a token: by its surprisal."""
    bits = math.inf if math.isnan(logprob) else units.bits(logprob)
    return [style for least, style, _ in LEVELS if bits >= least][-1] if bits > 0 else ""


def token(text: str, logprob: float) -> Cell:
    """A token in quotes, coloured by surprisal."""
    return cell(repr(text), level(logprob), own=True)


def forms_of_probability(logprobs: list[float]) -> list[list[Cell]]:
    """Probabilities with 3, 4 and 6 significant digits."""
    return [[cell(f"{math.exp(logprob):.{digits}g}") for logprob in logprobs] for digits in (3, 4, 6)]


def forms_of_logprob(logprobs: list[float]) -> list[list[Cell]]:
    """Numbers with 3 and 6 decimals."""
    return [[cell(f"{logprob:.{decimals}f}") for logprob in logprobs] for decimals in (3, 6)]


def alternatives(pairs: list[tuple[str, float]]) -> Cell:
    """The most probable tokens with their probabilities: one span each."""
    return tuple(Span(f"{token!r} {math.exp(logprob):.3g}", own=True) for token, logprob in pairs)
