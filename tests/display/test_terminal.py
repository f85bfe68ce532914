"""Every view fits its terminal: no line is too wide, numbers are whole, columns have heads, nothing is said by colour alone."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys

import pytest
from masked_zoo import masked
from model_zoo import tiny_any_order
from rich.cells import cell_len
from rich.console import Console

from chainrule import LanguageModel
from chainrule.display.grid import Grid, column
from chainrule.display.rankings import conditional_view, ranking_view
from chainrule.display.scores import pseudo_table, pseudo_terms
from chainrule.display.spans import Span, cell
from chainrule.display.steps import StepTable, finished_view
from chainrule.verify.report import Finding, Property, Report

TEXT = "The quick brown fox jumps over the lazy dog…"
FINDINGS = {
    "batch and order": Finding("6 sequences of equal length, alone, together and in reverse", 1.2e-05, 1e-4),
    "sum": Finding("one text", 2.0, 1e-4, cause="probabilities are multiplied in place of a sum of their logarithms"),
    "head": Finding("no fused head for this model"),
}
NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e[-+]\d+)?")


def views(lm: LanguageModel) -> dict[str, object]:
    steps: list = []
    generated = lm.generate("The quick", max_tokens=4, end=False, top=3, on_token=steps.append)
    table = StepTable(3, several=False)
    orders = tiny_any_order("llama").lm
    pseudo = masked("bert").lm.pseudo_log_likelihood([4, 5, 6, 7])
    report = Report(lm.model.identity, [Property.judged(name, finding) for name, finding in FINDINGS.items()], {}, 1.0)
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
        "pseudo": pseudo,
        "pseudo terms": pseudo_terms(pseudo),
        "pseudo table": pseudo_table([pseudo] * 3),
        "compare": lm.compare_with(-lm.score(TEXT).logprobs, TEXT),
        "compare a total": lm.compare_with(1.5, TEXT),
        "verify": report,
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
        assert re.search("log (of mean )?Pr|PLL|pseudo-log-likelihood|ours|property", plain), name
        assert "nats" in plain or (name == "verify" and width < 80), name
        assert re.search(r"^model:  ", plain, re.MULTILINE), name
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


def test_what_is_left_out_of_a_cell_is_marked():
    pieces = [tuple(Span(f"{name!r} 0.{name}", own=True) for name in (1, 2, 3))]
    grid = Grid({"top": column("pieces", "top", pieces)}, ["top"], 1)
    texts = {room: "".join(span.text for span in list(grid.lines(room))[1]) for room in range(9, 20)}
    assert texts[19] == "1 0.1  2 0.2  3 0.3"
    assert texts[18] == texts[14] == "1 0.1  2 0.2 …"
    assert texts[13] == texts[9] == "1 0.1 …"
    assert "".join(span.text for span in list(grid.lines(18, ascii=True))[1]) == "1 0.1  2 0.2 ..."


def test_words_are_whole():
    words = "unbreakable_by_its_width and short ones"
    columns = {"a": column("words", "a", [cell(words)]), "b": column("label", "b", [cell("last")])}
    columns["c"] = column("number", "c", [cell("123456")])
    grid = Grid(columns, ["a", "b", "c"], 2)
    for room in range(30, 60):
        lines = ["".join(span.text for span in line) for line in grid.lines(room)]
        assert max(map(len, lines)) <= room
        assert " ".join(" ".join(re.split("  +", line)[0] for line in lines[1:]).split()) == words


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
