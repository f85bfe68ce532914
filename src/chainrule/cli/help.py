"""The pages of help as plain text, for the width of the terminal."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence

from chainrule.cli.parameters import Parameter

WIDEST, NARROWEST = 100, 40  # columns that a page uses
STACKED = 70  # columns below which the meaning is on the line after the name
NAMES = 24  # columns of the names

Rows = list[tuple[str, str]]  # names and meanings


def command_page(name: str, summary: str, parameters: Sequence[Parameter], examples: Sequence[str]) -> str:
    """The help of a command: usage, summary, arguments and options in their panels, and examples."""
    arguments = [p for p in parameters if not p.names]
    usage = f"chainrule {' '.join([name, *(p.spelled for p in arguments), '[OPTIONS]'])}"
    panels: dict[str, Rows] = {"Arguments": [(p.spelled, p.help) for p in arguments]}
    for p in parameters:
        if p.names:
            panels.setdefault(p.panel or "Options", []).append((_aligned(p), p.help))
    panels.setdefault("Options", []).append(("-h, --help", "Print this help."))
    return _page(usage, summary, panels, examples)


def root_page(summary: str, commands: dict[str, Rows], examples: Sequence[str]) -> str:
    """The help of the program. commands: by panel, each with its first sentence."""
    options = [("-h, --help", "Print this help."), ("    --version", "Print the versions of chainrule and its parts.")]
    panels = commands | {"Options": options}
    end = "chainrule COMMAND --help describes a command, with examples."
    return f"{_page('chainrule COMMAND [OPTIONS]', summary, panels, examples, 'Start')}\n{_wrapped(end, _width())}"


def _page(usage: str, summary: str, panels: dict[str, Rows], examples: Sequence[str], heading: str = "Examples") -> str:
    width, style = _width(), _style()
    names = min(NAMES, max((len(name) for rows in panels.values() for name, _ in rows), default=0))
    parts = [f"{style('Usage:')} {usage}", _wrapped(summary, width)]
    for title, rows in panels.items():
        if rows:
            parts.append("\n".join([style(f"{title}:"), *(_row(*row, names, width, style) for row in rows)]))
    parts.append("\n".join([style(f"{heading}:"), *(f"  {example}" for example in examples)]))
    return "\n\n".join(parts) + "\n"


def _row(name: str, meaning: str, names: int, width: int, style: Callable[[str], str]) -> str:
    """A row of a table: the meaning beside the name, or below it if there is no space."""
    stacked = width < STACKED
    indent = 8 if stacked else names + 4
    lines = textwrap.wrap(meaning, width - indent, break_long_words=False, break_on_hyphens=False) or [""]
    head = f"  {style(name)}"
    if not stacked and len(name) <= names:
        head += " " * (indent - 2 - len(name)) + lines.pop(0)
    return "\n".join([head, *(" " * indent + line for line in lines)])


def _aligned(parameter: Parameter) -> str:
    """The spelling, with space for a short name in front."""
    return f"    {parameter.spelled}" if parameter.spelled.startswith("--") else parameter.spelled


def _wrapped(text: str, width: int) -> str:
    return textwrap.fill(text, width, break_long_words=False, break_on_hyphens=False)


def _width() -> int:
    return max(NARROWEST, min(WIDEST, shutil.get_terminal_size().columns))


def _style() -> Callable[[str], str]:
    """Bold in a terminal; nothing in a pipe, or with NO_COLOR or TERM=dumb."""
    plain = sys.stdout is None or not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return (lambda text: text) if plain else (lambda text: f"\033[1m{text}\033[0m")
