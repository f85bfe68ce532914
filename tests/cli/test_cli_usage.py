"""Mistakes on the command line: one line on standard error, with the nearest name, exit code 2, and nothing heavy imported."""

from __future__ import annotations

from pathlib import Path

import pytest

MISTAKES = [
    ("score --nope", "there is no option --nope; did you mean --top?"),
    ("score --contxt x", "there is no option --contxt; did you mean --context?"),
    ("generate --xyzzy", "there is no option --xyzzy; see chainrule generate --help"),
    ("score -5", "there is no option -5; a text that begins with - is given after --, as in: chainrule score -- '-5 …'"),
    ("--xyzzy", "there is no option --xyzzy; see chainrule --help"),
    ("sco", "there is no command 'sco'; did you mean score?"),
    ("xyzzy", "there is no command 'xyzzy'; chainrule --help lists them"),
    ("a.csv", "there is no command 'a.csv'; did you mean chainrule score --file a.csv?"),
    ("score a --top x", "--top takes a whole number, 0 or more, not 'x'"),
    ("score a --top -1", "--top takes a whole number, 0 or more, not '-1'"),
    ("next --top 0", "--top takes a whole number, 1 or more, not '0'"),
    (f"next --top {'9' * 5000}", f"--top takes a whole number, 1 or more, not '{'9' * 57}...'"),
    ("score a --window 1e3", "--window takes a whole number, not '1e3'"),
    ("generate a --temperature hot", "--temperature takes a number, not 'hot'"),
    ("generate a -n 0", "--n takes a whole number, 1 or more, not '0'"),
    ("generate a --method sampel", "--method takes one of greedy, sample, beam, best, not 'sampel'; did you mean sample?"),
    ("score a --per tokens", "--per takes one of sequence, text, order, token, not 'tokens'; did you mean token?"),
    ("score a --dtype fp16", "--dtype takes one of float32, bfloat16, float16, float64, auto, not 'fp16'"),
    ("completion cmd", "SHELL takes one of bash, zsh, fish, powershell, pwsh, not 'cmd'"),
    ("score a --top", "--top needs a value: --top K"),
    ("score a --end=1", "--end takes no value"),
    ("score a --end --dtype auto --dtype auto", "--dtype is given 2 times, but takes one value"),
    ("explain a --order random --order random", "--order is given 2 times, but takes one value"),
    (
        "explain a --order random:8 --model nowhere",
        "explain takes one order, but --order random:8 names several; score takes them",
    ),
    ("score --file a.csv --pair-column x", "--pair-column is now called --second-segment-column"),
    ("rank", "rank needs CONTEXT: the text before the candidates; see chainrule rank --help"),
    ("explain", "explain needs TEXT: the text; see chainrule explain --help"),
    (
        "next The capital of",
        "next takes 1 argument, but 'capital' is given too: put a text with spaces in quotes; see chainrule next --help",
    ),
    (
        "models x",
        "models takes no arguments, but 'x' is given too: put a text with spaces in quotes; see chainrule models --help",
    ),
    (
        "pseudo a",
        "pseudo needs --model with a masked model, such as google-bert/bert-base-uncased, or a folder of one; "
        "smollm2-135m is causal",
    ),
]


@pytest.mark.parametrize(("line", "message"), MISTAKES, ids=[line[:40] for line, _ in MISTAKES])
def test_a_mistake_is_one_line(command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, message: str):
    monkeypatch.chdir(tmp_path)
    Path("a.csv").write_text("text\na\n")
    assert command(*line.split()) == (2, "", f"chainrule: {message}\n")


def test_an_unquoted_text_in_place_of_a_command(command):
    assert command("It is raining.") == (
        2, "", "chainrule: there is no command 'It is raining.'; did you mean chainrule score \"It is raining.\"?\n"
    )  # fmt: skip


def test_help_comes_before_mistakes(command):
    code, out, err = command("score", "--top", "x", "--help")
    assert (code, out.splitlines()[0], err) == (0, "Usage: chainrule score [TEXT …] [OPTIONS]", "")


def test_a_text_that_begins_with_a_dash(command, tiny_folder: Path):
    assert command("score", "--model", str(tiny_folder), "--", "-5 degrees")[0] == 0
