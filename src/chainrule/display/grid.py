"""Tables that fit their terminal. Numbers are never cut: on a narrow terminal there are fewer digits, or fewer columns.

A column has one or more forms, the narrowest first. The plan of a table names its columns by importance; each further mention
of a column stands for its next form. A table takes the plan item by item, and leaves out what does not fit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from chainrule.display.spans import HEAD, NOTE, Cell, Span, cell, folded, rich_text, shortened, width

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

GAP = 2  # spaces between columns
_BAR = 40  # the length of the longest bar
_LEAST = {"fold": 16, "words": 16, "cut": 12, "bar": 10}  # columns that a text or a bar gets at least, if it has as many


class Form(NamedTuple):
    """A column in one of its forms. A line break in the head separates the name from the unit."""

    head: str
    cells: Sequence[Cell]
    note: str = ""  # what is missing in this form, such as "Pr to 3 digits"


@dataclass(frozen=True)
class Column:
    """A column of a table.

    kind: "number" (right-aligned, whole), "label" (whole), "fold" (text in several lines if necessary), "words" (the
    same, broken at spaces), "cut" (text, shortened), "pieces" (as many spans as fit) or "bar" (a number from 0 to 1)."""

    kind: str
    forms: Sequence[Form]
    name: str = ""  # in the line about columns that are left out; "": the line does not name it

    @property
    def flexible(self) -> bool:
        return self.kind in ("fold", "words", "cut", "pieces", "bar")


def column(kind: str, head: str, cells: Sequence[Cell], name: str = "") -> Column:
    """A column with one form."""
    return Column(kind, [Form(head, cells)], name)


def numbers(head: str, forms: Sequence[Sequence[Cell]], notes: Sequence[str] = (), name: str = "") -> Column:
    """A column of numbers, from its narrowest form to its widest, which needs no note."""
    own = [*notes, *[""] * (len(forms) - len(notes))]
    return Column("number", [Form(head, cells, note) for cells, note in zip(forms, own, strict=True)], name)


@dataclass(frozen=True)
class Grid:
    """A table. plan: names of columns by importance; the first `needed` of them are always shown."""

    columns: dict[str, Column]
    plan: Sequence[str]
    needed: int
    below: Sequence[Cell] = ()  # a cell under each row; none if empty
    caption: str = ""
    template: Grid | None = None  # if given, columns and widths are those of this table; with rows, this one has no heads

    def lines(self, room: int | None = None, ascii: bool = False) -> Iterator[Cell]:
        """The lines of the table: of its natural width, or in `room` columns."""
        grid = self._shown(ascii)
        template = grid if self.template is None else self.template._shown(ascii)
        level = template._chosen(room)
        chosen = {name: grid.columns[name].forms[i] for name, i in level.items()}
        widths = template._widths({name: template.columns[name].forms[i] for name, i in level.items()}, room)
        notes = [] if room is None or (self.template and grid._rows) else grid._left_out(chosen, room)
        caption = [line for note in [self.caption, *notes] if note for line in _words(Span(note, NOTE).shown(ascii), room)]
        if self.template is not None:
            yield from caption
        if self.template is None or not grid._rows:
            yield from grid._head(chosen, widths)
        for row in range(grid._rows):
            yield from grid._row(row, chosen, widths, ascii)
            if grid.below:
                yield from wrapped(grid.below[row], room)
        if self.template is None:
            yield from caption

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in self.lines(options.max_width, options.ascii_only):
            text = rich_text(line)
            text.no_wrap, text.overflow = True, "ignore"
            yield text

    @property
    def _rows(self) -> int:
        return max((len(form.cells) for one in self.columns.values() for form in one.forms), default=0)

    def _shown(self, ascii: bool) -> Grid:
        """The table with all text as the terminal can show it."""

        def shown(cells: Sequence[Cell]) -> list[Cell]:
            return [tuple(span.shown(ascii, one_line=True) for span in spans) for spans in cells]

        columns = {
            name: Column(one.kind, [form._replace(cells=shown(form.cells)) for form in one.forms], one.name)
            for name, one in self.columns.items()
        }
        return replace(self, columns=columns, below=shown(self.below))

    def _chosen(self, room: int | None) -> dict[str, int]:
        """The number of the form of each column that is shown, in the order of the columns."""
        level: dict[str, int] = {}
        for i, name in enumerate(self.plan):
            trial = level | {name: level.get(name, -1) + 1}
            least = self._least(trial, whole=self.columns[name].kind == "bar")
            if i < self.needed or room is None or least <= room:
                level = trial
        if room is None:
            level = {name: rank for name, rank in level.items() if self.columns[name].kind != "bar"}
        return {name: level[name] for name in self.columns if name in level}

    def _least(self, level: dict[str, int], whole: bool) -> int:
        """The least width of a table of these columns. whole: with texts of their natural width."""
        widths = [self._narrowest(name, self.columns[name].forms[i], whole) for name, i in level.items()]
        return sum(widths) + GAP * (len(widths) - 1)

    def _narrowest(self, name: str, form: Form, whole: bool = False) -> int:
        kind = self.columns[name].kind
        natural = _natural(kind, form)
        if kind == "pieces" and not whole:
            mark = 1 + len("...")  # after the first, if there are more
            return max([_head_width(form), *(width(spans[:1]) + mark * (len(spans) > 1) for spans in form.cells)])
        if kind == "words" and not whole:
            longest = max((len(word) for spans in form.cells for span in spans for word in span.text.split()), default=0)
            return max(_head_width(form), longest, min(_LEAST[kind], natural))
        cut = kind == "bar" or (kind in _LEAST and not whole)
        return max(_head_width(form), min(_LEAST[kind], natural)) if cut else natural

    def _widths(self, chosen: dict[str, Form], room: int | None) -> dict[str, int]:
        """The width of each column. Texts and bars share what the others leave, in the order of the plan."""
        kinds = {name: self.columns[name].kind for name in chosen}
        if room is None:
            return {name: _natural(kinds[name], form) for name, form in chosen.items()}
        widths = {name: self._narrowest(name, form) for name, form in chosen.items()}
        left = room - sum(widths.values()) - GAP * (len(widths) - 1)
        for name in dict.fromkeys(self.plan):
            if name in chosen and self.columns[name].flexible:
                more = max(0, min(left, _natural(kinds[name], chosen[name]) - widths[name]))
                widths[name] += more
                left -= more
        return widths

    def _head(self, chosen: dict[str, Form], widths: dict[str, int]) -> Iterator[Cell]:
        parts = {name: form.head.split("\n") for name, form in chosen.items()}
        for line in range(max(map(len, parts.values()), default=0)):
            cells = {name: cell(part[line] if line < len(part) else "", HEAD) for name, part in parts.items()}
            yield self._joined(cells, widths)

    def _row(self, row: int, chosen: dict[str, Form], widths: dict[str, int], ascii: bool) -> Iterator[Cell]:
        lines = {name: _fitted(self.columns[name].kind, form.cells[row], widths[name], ascii) for name, form in chosen.items()}
        for i in range(max(map(len, lines.values()))):
            yield self._joined({name: parts[i] if i < len(parts) else () for name, parts in lines.items()}, widths)

    def _joined(self, cells: dict[str, Cell], widths: dict[str, int]) -> Cell:
        """One line. Spaces at its end are left out."""
        spans: list[Span] = []
        pending = 0
        for name, spans_of_cell in cells.items():
            space = max(0, widths[name] - width(spans_of_cell))
            before, after = (space, 0) if self.columns[name].kind == "number" else (0, space)
            if spans_of_cell and any(span.text for span in spans_of_cell):
                if pending + before:
                    spans.append(Span(" " * (pending + before)))
                spans += spans_of_cell
                pending = after + GAP
            else:
                pending += space + GAP
        return tuple(spans)

    def _left_out(self, chosen: dict[str, Form], room: int) -> list[str]:
        fewer = [form.note for form in chosen.values() if form.note]
        absent = [one.name for name, one in self.columns.items() if name in self.plan and name not in chosen and one.name]
        parts = [", ".join(fewer)] if fewer else []
        parts += [f"no room for {', '.join(absent)}"] if absent else []
        return [f"In {room} columns: {'; '.join(parts)}."] if parts else []


def _natural(kind: str, form: Form) -> int:
    if kind == "bar":
        return _BAR
    sizes = (width(spans) + (GAP * (len(spans) - 1) if kind == "pieces" else 0) for spans in form.cells)
    return max([_head_width(form), *sizes])


def _head_width(form: Form) -> int:
    return max(map(len, form.head.split("\n")))


def _fitted(kind: str, spans: Cell, room: int, ascii: bool) -> list[Cell]:
    """The lines of a cell."""
    if kind == "bar":
        return [cell(("#" if ascii else "█") * round(float(spans[0].text) * room), "cyan")]
    if kind == "fold" and width(spans) > room:
        return folded(spans, room)
    if kind == "words" and width(spans) > room:
        return _words(spans[0], room)
    if kind == "cut":
        return [shortened(spans, room, "..." if ascii else "…")]
    if kind == "pieces" and spans:
        return [_marked_pieces(spans, room, "..." if ascii else "…")]
    return [spans]


def _pieces(spans: Cell, room: int) -> Cell:
    """As many spans as fit, with a gap between them."""
    line: list[Span] = []
    for span in spans:
        gap = [Span(" " * GAP)] if line else []
        if width((*line, *gap, span)) > room:
            break
        line += [*gap, span]
    return tuple(line)


def _marked_pieces(spans: Cell, room: int, more: str) -> Cell:
    """As many spans as fit, and a mark if that is not all of them."""
    line = _pieces(spans, room)
    if len(line) == 2 * len(spans) - 1:
        return line
    line = _pieces(spans, room - 1 - width(cell(more)))
    return (*line, Span(f" {more}" if line else more))


def wrapped(spans: Cell, room: int | None, indent: str = "    ") -> Iterator[Cell]:
    """Spans in as many lines as they need, each span whole."""
    rest = spans
    while rest:
        line = _pieces(rest, 10**9 if room is None else room - len(indent)) or (rest[0],)
        yield (Span(indent), *line)
        rest = rest[(len(line) + 1) // 2 :]


def _words(span: Span, room: int | None) -> list[Cell]:
    """A line of words, in as many lines as it needs."""
    import textwrap

    lines = textwrap.wrap(span.text, room or 10**9, break_long_words=False) or [""]
    return [(span._replace(text=line),) for line in lines]
