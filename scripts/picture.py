"""Draw docs/terminal.svg: the terminal output of `chainrule explain` and `chainrule score`."""

from __future__ import annotations

import io
import re
from pathlib import Path

from rich.console import Console

import chainrule

TEXT = "The umbrella kept the rain off."


def main() -> None:
    lm = chainrule.load()
    console = Console(record=True, width=110, file=io.StringIO(), highlight=False, force_terminal=True)
    console.print(f"$ chainrule explain {TEXT!r}", style="bold")
    console.print(lm.explain(TEXT))
    console.print(f"\n$ chainrule score {TEXT!r}", style="bold")
    console.print(lm.score(TEXT))
    target = Path(__file__).resolve().parent.parent / "docs" / "terminal.svg"
    svg = console.export_svg(title="chainrule")
    svg = re.sub(r"\s*@font-face \{.*?\}\n", "\n", svg, flags=re.DOTALL)  # fonts would be loaded from another host
    target.write_text(svg.replace("Fira Code, monospace", "Fira Code, DejaVu Sans Mono, monospace"), encoding="utf-8")


if __name__ == "__main__":
    main()
