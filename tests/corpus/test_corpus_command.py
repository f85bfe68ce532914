"""chainrule corpus: its messages, files and exit codes."""

from __future__ import annotations

import json
import re

import pyarrow.parquet
import pytest


@pytest.fixture
def shards(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [{"id": i, "text": f"text number {i} of the corpus", "lang": "en" if i % 3 else "de"} for i in range(30)]
    (tmp_path / "shards").mkdir()
    for name, part in (("a", rows[:20]), ("b", rows[20:])):
        (tmp_path / f"shards/{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part))
    return tmp_path / "shards"


@pytest.fixture
def corpus(command, tiny_folder):
    return lambda *words: command("corpus", *words, "--model", str(tiny_folder))


def test_a_run_its_filters_and_its_summary(corpus, shards, tmp_path):
    words = ["--keep", "lang", "--id", "id", "--quantiles", "bits_per_byte", "--group-by", "lang", "--into", "sel"]
    code, out, err = corpus("shards/", "-o", "out", *words, "--where", "quantile == 'head' and id >= 3", "--plot", "plot.svg")
    assert code == 0, err
    first, last = out.splitlines()
    selected = int(re.fullmatch(r"sel: (\d+) rows of 30", first)[1])
    assert re.fullmatch(
        r"out: 30 documents; [\d,]+ tokens, [\d,]+ distinct contexts; [\d.]+ bits per byte, perplexity [\d.]+", last
    )
    assert re.fullmatch(r"chainrule: shards/: 2 files\nchainrule: 1 worker, \d+ threads? each\n", err)
    rows = pyarrow.parquet.read_table("sel").to_pylist()
    assert len(rows) == selected > 0
    assert {row["quantile"] for row in rows} == {"head"}
    assert min(row["id"] for row in rows) >= 3
    whole = pyarrow.parquet.read_table("out").to_pylist()
    for lang in ("de", "en"):
        numbers = sorted(row["bits_per_byte"] for row in whole if row["lang"] == lang)
        assert [row["bits_per_byte"] for row in rows if row["lang"] == lang] != []
        assert max(row["bits_per_byte"] for row in rows if row["lang"] == lang) <= numbers[len(numbers) // 3]
    summary = json.loads((tmp_path / "out/_summary.json").read_text())
    assert summary["documents"] == 30
    assert [group["value"] for group in summary["groups"]] == ["en", "de"]
    assert json.loads((tmp_path / "out/_quantiles.json").read_text())["by"] == "lang"
    assert "<svg" in (tmp_path / "out/_summary.html").read_text()
    assert "<svg" in (tmp_path / "plot.svg").read_text()


def test_a_second_run_has_nothing_to_do_and_json(corpus, shards, tmp_path, monkeypatch):
    assert corpus("shards/", "-o", "out")[0] == 0
    monkeypatch.setattr("chainrule.corpus.workers.processes.Process", None)
    code, out, err = corpus("shards/", "-o", "out", "--json")
    assert (code, err) == (0, "chainrule: shards/: 2 files\n")
    found = json.loads(out)
    assert (found["documents"], found["failed"], found["folder"]) == (30, 0, "out")
    assert found["summary"]["bits_per_byte"] > 0


def test_failures_change_the_exit_code(corpus, shards):
    (shards / "c.jsonl").write_text('{"text": ""}\n{"text": "x y"}\n')
    code, out, err = corpus("shards/", "-o", "out")
    assert code == 1
    assert "32 documents, of which 1 could not be scored (the first: line 1 of shards/c.jsonl is empty, so " in out
    code, out, err = corpus("shards/", "-o", "out2", "--strict")
    assert code == 2
    assert "line 1 of shards/c.jsonl is empty" in err


def test_dry_run(corpus, shards, tmp_path):
    code, out, err = corpus("shards/", "--dry-run", "--workers", "1")
    assert code == 0, err
    assert re.fullmatch(
        r"30 documents, 8\d\d bytes, [\d,]+ tokens\n[\d,]+ distinct contexts \([\d.]+% of the tokens\)\n"
        r"about \d+ s with 1 worker of \d+ threads?, at [\d,]+ contexts/s\n",
        out,
    )
    assert sorted(path.name for path in tmp_path.iterdir() if path != shards) == []
    code, out, _ = corpus("shards/", "--dry-run", "--workers", "1", "--json")
    assert json.loads(out)["documents"] == 30


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["shards/"], "give a folder for the results with --output"),
        (["none/", "-o", "out"], "cannot read none/: No such file or directory"),
        (["shards/", "-o", "out", "--workers", "two"], "--workers takes a number, or auto, not 'two'"),
        (["shards/", "-o", "out", "--workers", "0"], "--workers must be 'auto' or a whole number, 1 or more, not 0"),
        (["shards/", "-o", "out", "--text", "body"], "there is no column 'body'"),
        (["shards/", "-o", "out", "--keep", "langs"], "there is no column 'langs'; the columns are"),
        (["shards/", "-o", "out", "--where", "tokens > 1"], "--where selects rows: name the folder for them with --into"),
        (["shards/", "-o", "out", "--into", "x"], "--into is the folder of selected rows: give a condition with --where"),
        (["shards/", "-o", "out", "--where", "token > 1", "--into", "x"], "did you mean 'tokens'?"),
        (["shards/", "-o", "out", "--quantiles", "bits"], None),
        (["shards/", "-o", "out", "--group-by", "lang"], "there is no column 'lang'"),
        (["shards/", "-o", "out", "--per", "token", "--plot", "x.svg"], "--plot draws numbers of documents"),
        (["shards/", "-o", "out", "--window", "99"], "window 99 is longer than the model's own context of 64"),
        (["shards/", "-o", "shards/a.jsonl"], "cannot write to shards/a.jsonl: File exists"),
        (["shards/", "-o", "out", "--ray", "auto"], "--ray needs ray, which is not installed"),
        (["shards/", "-o", "out", "--start", "cls"], "cls"),
    ],
)  # fmt: skip
def test_messages(corpus, shards, words, message):
    code, _, err = corpus(*words)
    assert code == (2 if message else 0), err
    assert message is None or message in err, err


def test_other_options_are_refused_with_the_difference(corpus, shards):
    assert corpus("shards/", "-o", "out")[0] == 0
    code, _, err = corpus("shards/", "-o", "out", "--end", "--dtype", "float64")
    assert code == 2
    assert "out was begun otherwise: end was not set and is True" in err
    code, _, err = corpus("shards/", "-o", "out", "--dtype", "float64")
    assert code == 2
    assert "dtype was 'float32' and is 'float64'" in err
