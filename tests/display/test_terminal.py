"""Every view fits its terminal: no line is too wide, numbers are whole, columns have heads, nothing is said by colour alone."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys

import pytest
from model_zoo import tiny_any_order
from rich.cells import cell_len
from rich.console import Console

from chainrule import LanguageModel
from chainrule.display.rankings import conditional_view, ranking_view
from chainrule.display.steps import StepTable, finished_view

TEXT = "The quick brown fox jumps over the lazy dog…"
NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e[-+]\d+)?")


def views(lm: LanguageModel) -> dict[str, object]:
    steps: list = []
    generated = lm.generate("The quick", max_tokens=4, end=False, top=3, on_token=steps.append)
    table = StepTable(3, several=False)
    orders = tiny_any_order("llama").lm
    return {
        "score": lm.score(TEXT, context="Before. "),
        "scores": lm.score_batch([TEXT] * 3),
        "explain": lm.explain(TEXT, top=3),
        "explain with many": lm.explain(TEXT, top=6),
        "rank": ranking_view(lm.rank("The quick", [" brown fox", " dog…"])),
        "next": conditional_view(lm.conditional("The quick"), 5),
        "steps": [table.head(), *map(table.row, steps), finished_view(generated, steps=True, marks=True)],
        "mixture": orders.score([3, 4, 5, 6], order="random:3"),
        "mixtures": orders.score_batch([[3, 4, 5, 6]] * 2, order="random:3"),
    }


def rendered(view: object, width: int, encoding: str = "utf-8", **options: object) -> str:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding, errors="backslashreplace")
    console = Console(file=file, width=width, highlight=False, **options)  # type: ignore[arg-type]
    for part in view if isinstance(view, list) else [view]:
        console.print(part)
    file.flush()
    return raw.getvalue().decode(encoding)


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_every_view_fits(tiny: LanguageModel, width: int):
    for name, view in views(tiny).items():
        plain = rendered(view, width)
        assert "\x1b" not in plain, name  # into a pipe
        wide = [line for line in plain.splitlines() if cell_len(line) > width]
        assert wide == [], name
        ascii_only = rendered(view, width, "ascii")
        assert ascii_only.isascii()
        assert [line for line in ascii_only.splitlines() if len(line) > width] == [], name
        assert re.search("log (of mean )?Pr", plain), name
        assert "(nats)" in plain, name
        coloured = rendered(view, width, force_terminal=True, color_system="truecolor", no_color=False)
        assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == plain, name  # colours add nothing
        without = rendered(view, width, force_terminal=True, color_system="truecolor", no_color=True)
        assert set(re.findall(r"\x1b\[([\d;]*)m", without)) <= {"0", "1", "2", "4", "1;4", "4;1"}, name


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_numbers_are_whole(tiny: LanguageModel, width: int):
    """Every number that is shown is one of those of the factor, in one of the forms."""
    explanation = tiny.explain(TEXT, top=3)
    lines = [line for line in rendered(explanation, width).splitlines() if re.match(r"x_\d|Pr\(x_\d", line)]
    assert len(lines) == len(explanation.factors)
    for f, line in zip(explanation.factors, lines, strict=True):
        assert f"{f.logprob:.6f}" in line or f"{f.logprob:.3f}" in line
        forms = {f"{f.probability:.{digits}g}" for digits in (3, 4, 6)}
        assert forms & set(line.split())


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize("several", [False, True])
def test_the_progress_bar_is_gone_before_output(tiny_folder, several: bool):
    import pty

    texts = ["The quick brown fox", "jumps"] if several else ["The quick brown fox"]
    reader, writer = pty.openpty()
    command = [sys.executable, "-m", "chainrule", "score", *texts, "--model", str(tiny_folder)]
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "80"}
    process = subprocess.Popen(command, stdout=writer, stderr=writer, stdin=subprocess.DEVNULL, env=environment)
    os.close(writer)
    raw = b""
    while True:
        try:
            part = os.read(reader, 65536)
        except OSError:
            break
        if not part:
            break
        raw += part
    os.close(reader)
    assert process.wait(120) == 0
    screen = raw.decode()
    assert "scoring" in screen
    last = screen.rindex("scoring")
    output = screen.index("log Pr")
    between = screen[last:output]
    assert last < output
    assert "\x1b[2K" in between  # the line of the bar is erased
    assert "contexts/s" not in between[between.rindex("\x1b[2K") :]
