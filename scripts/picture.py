"""Draw docs/terminal.svg and docs/terminal-light.svg: `chainrule explain` and `chainrule score` in a terminal."""

from __future__ import annotations

import io
import re
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import DEFAULT_TERMINAL_THEME, SVG_EXPORT_THEME

import chainrule

TEXT = "The umbrella kept the rain off."
THEMES = {"terminal.svg": SVG_EXPORT_THEME, "terminal-light.svg": DEFAULT_TERMINAL_THEME}


def main() -> None:
    lm = chainrule.load()
    console = Console(record=True, width=112, file=io.StringIO(), highlight=False, force_terminal=True)
    console.print(f"$ chainrule explain {TEXT!r}", style="bold")
    console.print(lm.explain(TEXT, top=3))
    console.print(f"\n$ chainrule score {TEXT!r}", style="bold")
    console.print(lm.score(TEXT))
    for name, theme in THEMES.items():
        target = Path(__file__).resolve().parent.parent / "docs" / name
        svg = console.export_svg(title="chainrule", theme=theme, clear=False, unique_id="terminal")
        svg = re.sub(r"\s*@font-face \{.*?\}\n", "\n", svg, flags=re.DOTALL)  # fonts would be loaded from another host
        target.write_text(svg.replace("Fira Code, monospace", "Fira Code, DejaVu Sans Mono, monospace"), encoding="utf-8")


if __name__ == "__main__":
    main()
