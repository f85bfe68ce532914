"""A view: paragraphs and tables, one below the other, for a terminal or as plain text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chainrule.display.grid import Grid, wrapped
from chainrule.display.spans import NOTE, Cell, Span, rich_text
from chainrule.results.provenance import WithProvenance

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult


@dataclass(frozen=True)
class Paragraph:
    """Text that is wrapped at spaces."""

    spans: Cell

    def lines(self, room: int | None = None, ascii: bool = False) -> Iterator[Cell]:
        """The lines, not wrapped."""
        yield tuple(span.shown(ascii) for span in self.spans)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in self.lines(ascii=options.ascii_only):
            text = rich_text(line)
            text.overflow = "fold"
            yield text


@dataclass(frozen=True)
class Items:
    """A label and spans after it. Spans are not broken."""

    label: str
    spans: Cell

    def lines(self, room: int | None = None, ascii: bool = False) -> Iterator[Cell]:
        """The lines, wrapped between spans."""
        label = Span(self.label, NOTE).shown(ascii)
        yield from wrapped((label, *(span.shown(ascii, one_line=True) for span in self.spans)), room, indent="")

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from map(rich_text, self.lines(options.max_width, options.ascii_only))


class View:
    """Parts of a view, one below the other. `str()` is plain text of the natural width, without bars."""

    def __init__(self, *parts: Grid | Paragraph | Items) -> None:
        self.parts = parts

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from self.parts

    def __str__(self) -> str:
        lines = [line for part in self.parts for line in part.lines()]
        return "\n".join("".join(span.text for span in line).rstrip() for line in lines)


def note(text: str) -> Paragraph:
    """A remark."""
    return Paragraph((Span(text, NOTE),))


def origin(result: WithProvenance) -> Items:
    """The model that a result comes from, as the last line of its view."""
    return Items("model:", tuple(Span(part, NOTE, own=True) for part in result.source.split(" · ")))


def line(text: str, style: str = "") -> Paragraph:
    return Paragraph((Span(text, style),))
