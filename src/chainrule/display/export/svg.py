"""An explanation as an SVG picture: text that stays text, on white, as wide as its content.

Texts are set in the generic family "monospace", and every column is as wide as its longest text in any common font of that
family, so that nothing overlaps. Lengths are in pixels.
"""

from __future__ import annotations

import re
import unicodedata
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
from chainrule.display.export.signs import indexed, typeset
from chainrule.results.explanation import Explanation

_SIZE = 14  # of the font
_SMALL = 12  # of the font of the notes
_CELL = 0.62 * _SIZE  # the widest character of monospace fonts (0.55 to 0.61 em)
_ROW = 24
_HEAD = 17  # between the two lines of a head
_NOTE = 18
_GAP = 18  # between columns
_MARGIN = 16
_BAR = 100  # the length of a bar that is full
_NO_HEAD = ("", "")
_INK, _RED, _PAGE = "#1a1a1a", "#cc4433", "#ffffff"


class _Column:
    """A head of two lines, the cells below it, and whether they are aligned to the left."""

    def __init__(self, head: tuple[str, str], cells: list[str], left: bool = False) -> None:
        self.head, self.cells, self.left = head, cells, left
        self.width = max(map(_width, (*head, *cells)))
        self.bars: list[float] = []  # their lengths as shares of a full one: to the right of the cells


def svg(explanation: Explanation) -> str:
    """The picture: heading, table with bars, total and notes."""
    exported = Exported(explanation)
    title = exported.text or f"{len(exported.lines)} factors"
    caption = exported.caption(typeset(exported.total.probability))
    columns = _columns(exported)
    table = sum(column.width + _GAP + (_BAR + _GAP if column.bars else 0) for column in columns) - _GAP
    width = round(
        2 * _MARGIN + max(table, _width(title), _width(caption), *(_width(note) * _SMALL / _SIZE for note in exported.notes))
    )
    parts = [_text(_MARGIN, _MARGIN + _SIZE, title, 'font-weight="bold"'), _text(_MARGIN, _MARGIN + _SIZE + _ROW, caption)]
    top = _MARGIN + _SIZE + 2 * _ROW  # the first line of the heads
    first = top + _HEAD + _ROW + 4  # the first factor
    total = first + len(exported.lines) * _ROW + 4
    parts += [_rule(top - 17, table, 1.6), _rule(top + _HEAD + 8, table, 0.8), _rule(total - 17, table, 0.8)]
    parts.append(_rule(total + 9, table, 1.6))
    x = float(_MARGIN)
    for column in columns:
        at, anchor = (x, "") if column.left else (x + column.width, 'text-anchor="end"')
        ys = [
            *((top, top + _HEAD) if column.head[1] else (top + _HEAD, 0)),
            *(first + i * _ROW for i in range(len(exported.lines))),
            total,
        ]
        parts += [_text(at, y, cell, anchor) for y, cell in zip(ys, (*column.head, *column.cells), strict=True) if cell]
        x += column.width + _GAP
        if column.bars:
            parts += [_bar(x, first + i * _ROW, share) for i, share in enumerate(column.bars) if share]
            x += _BAR + _GAP
    y = total + 12
    for note in exported.notes:
        y += _NOTE
        parts.append(_text(_MARGIN, y, note, f'font-size="{_SMALL}"'))
    height = y + _MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="monospace" font-size="{_SIZE}" fill="{_INK}">\n'
        f"<title>{escape(title)}</title>\n<desc>{escape(_described(exported, caption))}</desc>\n"
        f'<rect width="{width}" height="{height}" fill="{_PAGE}"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _columns(exported: Exported) -> list[_Column]:
    lines = [*exported.lines, exported.total]
    surprisal = _Column(SURPRISAL, [typeset(each.surprisal) for each in lines])
    surprisal.bars = [each.share for each in exported.lines]
    columns = [
        _Column(FACTOR, [_formula(each) for each in lines], left=True),
        _Column(TOKEN, [each.token for each in lines], left=True),
        _Column(PROBABILITY, [typeset(each.probability) for each in lines]),
        surprisal,
        _Column(LOG, [typeset(each.logprob) for each in lines]),
        _Column(RUNNING, [typeset(each.running) for each in lines]),
        _Column(RANK, [each.rank for each in lines]),
    ]
    for i in range(max(len(each.alternatives) for each in lines)):
        pairs = [each.alternatives[i] if i < len(each.alternatives) else ("", "") for each in lines]
        tokens, numbers = (
            _Column(_NO_HEAD, [token for token, _ in pairs], left=True),
            _Column(_NO_HEAD, [typeset(n) for _, n in pairs]),
        )
        if i == 0:  # the head of both
            tokens.head, numbers.width = ALTERNATIVES, max(numbers.width, _width(ALTERNATIVES[0]) - tokens.width - _GAP)
        columns += [tokens, numbers]
    return columns


def _formula(line: Line) -> str:
    """Pr(x_2 | s, e_0) as Pr(x₂ | s, e₀)."""
    return re.sub(r"[xe]_\d+", lambda match: indexed(match[0]), line.formula)


def _described(exported: Exported, caption: str) -> str:
    """The table in words, for readers who hear it."""
    rows = (f"{i}. {each.token}: {typeset(each.probability)}" for i, each in enumerate(exported.lines, 1))
    return "; ".join([caption, *rows, *exported.notes])


def _text(x: float, y: float, text: str, attributes: str = "") -> str:
    """A text in which all spaces are kept and which has its own direction."""
    start = f'<text x="{x:.1f}" y="{y:.1f}" xml:space="preserve" style="white-space:pre;unicode-bidi:isolate"'
    return f"{start}{attributes and ' '}{attributes}>{escape(text)}</text>"


def _rule(y: float, width: float, thickness: float) -> str:
    return f'<rect x="{_MARGIN}" y="{y:.1f}" width="{width:.1f}" height="{thickness}"/>'


def _bar(x: float, y: float, share: float) -> str:
    """A bar beside the text whose baseline is y."""
    return f'<rect x="{x:.1f}" y="{y - 10:.1f}" width="{_BAR * share:.1f}" height="10" fill="{_RED}"/>'


def _width(text: str) -> float:
    return _CELL * sum(_cells_of(character) for character in text)


def _cells_of(character: str) -> int:
    """The cells of a character: 2 if it is wide, 0 if it is drawn on the one before."""
    if unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" or ord(character) >= 0x1F000 else 1
