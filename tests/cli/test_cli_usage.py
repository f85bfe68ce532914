"""Mistakes on the command line: one line on standard error, with the nearest name, exit code 2, and nothing heavy imported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from chainrule.cli.parameters import parameters_of
from chainrule.cli.spelling import as_options
from chainrule.cli.text_commands import score
from chainrule.verify.code_file import Code

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


EARLY = [  # found before torch is imported, which takes seconds
    ("explain a --order 1,a", "--order takes left-to-right, right-to-left, random, or positions such as 0,4,2,1,3, not '1,a'"),
    ("explain a --order 1,2", "--order 1,2 is no order of 2 tokens: it must have each position from 0 to 1 once"),
    (
        "score a --order randm",
        "--order takes left-to-right, right-to-left, random, or positions such as 0,4,2,1,3, not 'randm'; did you mean random?",
    ),
    ("score a --device gpu", "--device takes cpu, cuda or cuda:N, not 'gpu'; did you mean cuda?"),
    ("score a --device cuda:x", "--device takes cpu, cuda or cuda:N, not 'cuda:x'; did you mean cuda?"),
    ("next a --start boss", "--start takes auto, bos, eos, given or a token id, not 'boss'; did you mean bos?"),
    ("generate a --top-k 3", "--top-k 3 is for --method sample, and this is --method greedy"),
    ("generate a --num-beams 3", "--num-beams 3 is for --method beam or best, and this is --method greedy"),
    ("generate a -n 2", "--method greedy gives one text, not --n 2: choose --method sample, beam or best"),
    (
        "generate a --method sample --temperature 0",
        "--temperature must be a number above 0, not 0.0; for the most probable token, use --method greedy",
    ),
    ("generate a --method sample --top-p 2", "--top-p must be a number above 0 and at most 1, not 2.0"),
    ("infill a____ --method sample --min-p 0", "--min-p must be a number above 0 and at most 1, not 0.0"),
    ("score a --temperature 0", "--temperature must be a number above 0, not 0.0"),
    ("verify --decode a.csv", "this is no code of chainrule: it begins with b'text\\na\\n', not with 'chainrule code 1'"),
    ("verify --decode good.code --model /nowhere/x", "there is no model folder or file '/nowhere/x'; check the path"),
    ("score a -o a.xyz", "cannot infer the format of 'a.xyz': use a name ending in .csv, .jsonl or .parquet"),
    ("compare a --numbers x", "--numbers 'x' is neither a file nor a list of numbers, such as -3.2,-0.1,-7.4"),
]


def test_mistakes_are_found_before_torch_is_imported(tmp_path: Path, tiny_folder: Path):
    """In one process, in which importing torch fails."""
    (tmp_path / "a.csv").write_text("text\na\n")
    code = Code(b"", 0, 0, [], "0" * 64, {})
    (tmp_path / "good.code").write_bytes(code.to_bytes())
    program = """
import json, sys
sys.modules["torch"] = None
import chainrule.cli.main as main
for line in json.load(sys.stdin):
    sys.argv[1:] = line.split()
    try:
        main.main()
    except SystemExit as exit:
        print(exit.code, file=sys.stderr)
    except ImportError as error:
        print(f"{error}\\n1", file=sys.stderr)
"""
    lines = [line if "--model" in line else f"{line} --model {tiny_folder}" for line, _ in EARLY]
    run = subprocess.run(
        [sys.executable, "-c", program], input=json.dumps(lines), capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert run.stdout == ""
    said = run.stderr.splitlines()
    assert said[::2] == [f"chainrule: {message}" for _, message in EARLY]
    assert said[1::2] == ["2"] * len(EARLY)


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


@pytest.mark.parametrize(
    ("message", "spelled"),
    [
        ("use a start symbol (start='bos', 'eos' or a token id)", "use a start symbol (--start bos, eos or a token id)"),
        ("pass a token id (start=ID), or omit it", "pass a token id (--start ID), or omit it"),
        ("windows (leave window=False out)", "windows (leave --no-window out)"),
        ("end=True, but this model has no EOS symbol", "--end, but this model has no EOS symbol"),
        ("the CPU's text 'top=3' and \"top=3\" is shown", "the CPU's text 'top=3' and \"top=3\" is shown"),
        ("embeddings: score(embeddings=...), rows=3", "embeddings: score(embeddings=...), rows=3"),
        ("dtype='float32', window=3.", "--dtype float32, --window 3."),
        ("window must be whole", "--window must be whole"),
        ("a window must be whole", "a window must be whole"),
        ("pass special=", "pass --special"),
    ],
)
def test_arguments_of_the_library_are_spelled_as_options(message, spelled):
    from chainrule.cli.app import app

    function = next(each.callback for each in app.registered_commands if each.callback.__name__ == score.__name__)
    assert as_options(message, parameters_of(function)) == spelled
