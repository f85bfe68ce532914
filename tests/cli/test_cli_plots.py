"""--plot of chainrule score, pairs and words: charts of a whole run, and errors before anything is computed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from chainrule import LanguageModel
from chainrule.cli import sections, stream
from chainrule.results.mean import mean

SENTENCES = "item,condition,sentence\n1,a,the dog\n1,b,the dogs\n2,a,a cat\n2,b,cats sit\n3,a,hello there\n"
ROWS = "item,condition,word\n1,a,the\n1,a,dog\n1,b,the\n1,b,dogs\n2,a,a\n2,a,cat\n"


@pytest.fixture
def run(command, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Run a command on the tiny model in an empty folder, with two texts per shard."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sections, "SHARD", 2)
    monkeypatch.setattr(sections, "ROWS", 2)
    monkeypatch.setattr(stream, "SHARD", 2)
    Path("s.csv").write_text(SENTENCES, encoding="utf-8")
    Path("w.csv").write_text(ROWS, encoding="utf-8")
    return lambda *arguments, **stdin: command(*arguments, "--model", str(tiny_folder), **stdin)


def chart(file: str = "x.json") -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The specification of a chart, and its rows."""
    spec = json.loads(Path(file).read_text(encoding="utf-8"))
    return spec, spec["datasets"][spec["data"]["name"]]


def test_score(run, tiny: LanguageModel):
    code, out, err = run("score", "the dog", "a cat", "hello", "--plot", "x.json")
    assert (code, err, out.count("\n")) == (0, "", 4)
    want = tiny.score_batch(["the dog", "a cat", "hello"])
    assert [row["bits"] for row in chart()[1]] == want.surprisals_bits.tolist()
    code, out, err = run("score", *"abcdefghij", "--plot", "x.json")
    assert (code, err) == (0, "chainrule: note: x.json shows the first 8 of 10 texts\n")


def test_pairs(run, tiny: LanguageModel):
    Path("p.csv").write_text("good,bad\nthe dog,dog the\na cat,cat a\nb,c\n", encoding="utf-8")
    code, out, _ = run("pairs", "p.csv", "--plot", "x.json")
    assert (code, out.count("\n")) == (0, 4)
    want = tiny.pairs(["the dog", "a cat", "b"], ["dog the", "cat a", "c"])
    assert sorted(row["logprob"] for row in chart()[1]) == sorted(want.logprob.ravel().tolist())


def test_words_of_conditions(run, tiny: LanguageModel):
    arguments = ["words", "--file", "s.csv", "--text-column", "sentence", "--plot", "x.json"]
    code, out, err = run(*arguments, "--plot-by", "condition", "-o", "out.csv")
    assert (code, out, err) == (0, "", "")
    bits = tiny.words(["the dog", "a cat", "hello there", "the dogs", "cats sit"]).surprisal_bits.tolist()
    rows = chart()[1]
    assert [(row["line"], row["index"], row["n"]) for row in rows] == [("a", 0, 3), ("a", 1, 3), ("b", 0, 2), ("b", 1, 2)]
    assert [row["bits"] for row in rows] == pytest.approx(
        [mean(bits[i:j:2]).mean for i, j in ((0, 6), (1, 6), (6, 10), (7, 10))]
    )
    assert Path("out.csv").read_text(encoding="utf-8").count("\n") == 11
    assert run(*arguments)[0] == 0
    assert len({row["line"] for row in chart()[1]}) == 5


def test_words_in_rows(run, tiny: LanguageModel):
    code, out, err = run("words", "--file", "w.csv", "--by", "item,condition", "--plot", "x.json", "--plot-by", "condition")
    assert (code, err, out.count("\n")) == (0, "", 7)
    assert [(row["line"], row["n"]) for row in chart()[1]] == [("a", 2), ("a", 2), ("b", 1), ("b", 1)]
    code, out, err = run("words", "--file", "w.csv", "--by", "item", "--plot", "x.json", "--plot-by", "condition")
    assert code == 2
    assert "the column 'condition' (--plot-by) has 2 values in the rows of one text" in err


ONE_ORDER = "--plot draws the factors of texts in one order: leave"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("score a --plot x.pdf", "cannot infer the format of 'x.pdf': use a name ending in .html, .png, .svg or .json"),
        ("score a --plot no/x.svg", "cannot write no/x.svg: No such file or directory"),
        ("score a --acceptability --plot x.svg", f"{ONE_ORDER} --acceptability out"),
        ("score a --order random:2 --plot x.svg", f"{ONE_ORDER} several orders out"),
        ("words a --plot-by c", "--plot-by names the column of the conditions of a chart: name its file with --plot"),
        ("words a --plot x.svg --plot-by c", "text 1: plain lines have no column 'c': give a table"),
    ],
)
def test_errors(run, line: str, message: str):
    code, _, err = run(*line.split())
    assert (code, err) == (2, f"chainrule: {message}\n")
    assert sorted(each.name for each in Path().iterdir()) == ["s.csv", "w.csv"]


def test_a_text_without_a_condition(run):
    Path("s.csv").write_text(SENTENCES.replace("2,a", "2,"), encoding="utf-8")
    arguments = ["words", "--file", "s.csv", "--text-column", "sentence", "--plot", "x.json", "--plot-by", "condition"]
    code, _, err = run(*arguments)
    assert code == 2
    assert "row 3 of s.csv: the column 'condition' is empty, but --plot-by needs a condition of each text" in err
    assert not Path("x.json").exists()
    assert run(*arguments, "--skip-bad")[0] == 0
    assert [row["n"] for row in chart()[1]] == [2, 2, 2, 2]


def test_an_input_is_not_overwritten(run):
    Path("in.json").write_text('[{"text": "a"}]', encoding="utf-8")
    code, out, err = run("score", "--file", "in.json", "--plot", "in.json")
    assert (code, out) == (2, "")
    assert "in.json is an input file" in err
