"""The command line: output, files, and errors (always exit code 2 and one line)."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pyarrow
import pyarrow.csv
import pyarrow.parquet
import pytest
import torch

TEXTS = ["The quick brown fox", "Hello world, hello there!", "a", "naïve café 🎉"]


@pytest.fixture
def run(command, tiny_folder: Path):
    """Run a command on the tiny model."""

    def invoke(*arguments: str, stdin: str | bytes | None = None, model: str | None = None):
        options = ["--model", model or str(tiny_folder)] if arguments[0] in ("score", "rank", "next", "explain") else []
        return command(*arguments, *options, stdin=stdin)

    return invoke


@pytest.fixture
def lines(tmp_path: Path) -> str:
    path = tmp_path / "texts.txt"
    path.write_text("\n".join(TEXTS) + "\n", encoding="utf-8")
    return str(path)


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_one_text_agrees_with_the_library(run, tiny):
    code, out, _ = run("score", TEXTS[0])
    (row,) = rows_of(out)
    assert code == 0
    assert float(row["logprob"]) == tiny.score(TEXTS[0]).logprob
    assert (row["start"], row["start_id"], row["end_id"], row["kind"]) == ("bos", "0", "", "joint")


def test_lines_keep_their_order(run, lines, tiny):
    _, out, _ = run("score", "--file", lines)
    assert [row["text"] for row in rows_of(out)] == TEXTS
    assert [float(row["logprob"]) for row in rows_of(out)] == tiny.score_batch(TEXTS).logprob.tolist()


def test_standard_input(run):
    _, out, _ = run("score", stdin="a\nb\n")
    assert [row["text"] for row in rows_of(out)] == ["a", "b"]


def test_windows_line_ends_and_a_byte_order_mark(run):
    _, out, _ = run("score", stdin=b"\xef\xbb\xbfa\r\nb\r\n")
    assert [row["text"] for row in rows_of(out)] == ["a", "b"]


def test_one_row_per_token(run, tiny):
    _, out, _ = run("score", TEXTS[0], "--per", "token", "--top", "2")
    score = tiny.score(TEXTS[0], top=2)
    assert [row["token"] for row in rows_of(out)] == score.tokens
    assert [int(row["rank"]) for row in rows_of(out)] == score.ranks.tolist()


def test_json_lines(run, lines, tiny):
    _, out, _ = run("score", "--file", lines, "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["text"] for row in rows] == TEXTS
    assert [row["tokens"] for row in rows] == [len(tiny.tokenizer.encode(text)) for text in TEXTS]
    assert ["factors" in row for row in rows] == [False] * len(TEXTS)
    _, out, _ = run("score", TEXTS[0], "--json")
    detailed = json.loads(out)
    assert [factor["id"] for factor in detailed["factors"]] == tiny.tokenizer.encode(TEXTS[0]).tolist()
    assert sum(t["logprob"] for t in detailed["factors"]) == pytest.approx(detailed["logprob"], abs=1e-12)
    assert detailed["revision"].startswith(rows[0]["revision"])  # rows have its beginning
    assert {**detailed, "factors": None, "revision": None} == {**rows[0], "factors": None, "revision": None}


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_tables_in_and_out(run, tmp_path, tiny, suffix):
    source, target = tmp_path / f"in.{suffix}", tmp_path / f"out.{suffix}"
    table = pyarrow.table({"id": [1, 2], "body": TEXTS[:2], "before": ["Say: ", "Then: "]})
    if suffix == "parquet":
        pyarrow.parquet.write_table(table, source)
    elif suffix == "csv":
        pyarrow.csv.write_csv(table, source)
    else:
        source.write_text("\n".join(json.dumps(row) for row in table.to_pylist()), encoding="utf-8")
    columns = ["--column", "body", "--context-column", "before", "--end"]
    code, out, _ = run("score", "--file", str(source), *columns, "--output", str(target))
    assert (code, out) == (0, "")
    if suffix == "parquet":
        rows = pyarrow.parquet.read_table(target).to_pylist()
    elif suffix == "csv":
        rows = rows_of(target.read_text(encoding="utf-8"))
    else:
        rows = [json.loads(line) for line in target.read_text(encoding="utf-8").splitlines()]
    expected = tiny.score_batch(TEXTS[:2], context=["Say: ", "Then: "], end=True).logprob
    assert [float(row["logprob"]) for row in rows] == expected.tolist()
    assert [int(row["end_id"]) for row in rows] == [1, 1]


def test_rank(run, tiny):
    _, out, _ = run("rank", "The quick", " fox", " dog", "--json")
    candidates = json.loads(out)["candidates"]
    assert [row["index"] for row in candidates] == [r.index for r in tiny.rank("The quick", [" fox", " dog"])]
    _, out, _ = run("rank", "The quick", stdin=" fox\n dog\n")
    assert {row["candidate"] for row in rows_of(out)} == {" fox", " dog"}


def test_next(run, tiny):
    _, out, _ = run("next", "The quick", "--json", "--top", "3")
    alternatives = json.loads(out)["top"]
    assert [a["id"] for a in alternatives] == [a.id for a in tiny.conditional("The quick").top(3)]
    code, out, _ = run("next")  # the distribution of the first token
    assert code == 0
    lines = out.splitlines()
    assert [line.split()[0] for line in lines[2:-2]] == [str(rank) for rank in range(1, 11)]
    assert lines[-2].startswith("conditioned on 1 embedding, the start symbol")


def test_explain_writes_every_factor(run):
    _, out, _ = run("explain", TEXTS[0])
    assert "Pr(x_0 | s)" in out
    assert "Pr(x_2 | s, e_0, e_1)" in out
    _, out, _ = run("explain", TEXTS[0], "--json")
    assert json.loads(out)["factors"][2]["formula"] == "Pr(x_2 | s, e_0, e_1)"


def test_models_and_version(run, monkeypatch, tmp_path):
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path))
    _, out, _ = run("models", "--json")
    assert [json.loads(line)["pulled"] for line in out.splitlines()] == [False]
    assert run("--version")[1].splitlines()[0].count(".") == 2


BAD = {
    "empty text": (["score", ""], "empty"),
    "nothing": (["score", "--file", "NOTHING"], "no text"),
    "no such file": (["score", "--file", "missing.txt"], "missing.txt"),
    "not UTF-8": (["score", "--file", "LATIN1"], "line 1"),
    "missing column": (
        ["score", "--file", "TABLE", "--column", "nope"],
        "there is no column 'nope'; the columns are: id, text",
    ),
    "no text in the column": (["score", "--file", "NUMBERS"], "not text"),
    "broken JSON": (["score", "--file", "BROKEN"], "not valid JSON"),
    "broken parquet": (["score", "--file", "FAKE"], "cannot read"),
    "both": (["score", "a", "--file", "TABLE"], "not both"),
    "one token, given start": (["score", "a", "--start", "given"], "single token"),
    "start out of range": (["score", "a", "--start", "99999"], "out of range"),
    "start unknown": (["score", "a", "--start", "cls"], "choose"),
    "too long without windows": (["score", "word " * 100, "--no-window"], "shorten"),
    "window too long": (["score", "a", "--window", "65"], "64"),
    "unknown format": (["score", "a", "--output", "out.xlsx"], "parquet"),
    "unwritable output": (["score", "a", "--output", "no/such/folder/out.csv"], "cannot write"),
    "a folder as output": (["score", "a", "--output", "FOLDER"], "cannot write"),
    "bad dtype": (["score", "a", "--dtype", "int4"], "int4"),
    "bad device": (["score", "a", "--device", "quantum"], "quantum"),
    "nothing to rank": (["rank", "a", "--file", "NOTHING"], "candidates"),
    "unknown package": (["pull", "gpt5"], "gpt5"),
}


@pytest.fixture
def files(tmp_path, monkeypatch) -> dict[str, str]:
    monkeypatch.chdir(tmp_path)
    contents = {
        "EMPTY": ("empty.txt", b"a\n\nb\n"),
        "NOTHING": ("nothing.txt", b""),
        "LATIN1": ("latin1.txt", "café\n".encode("latin-1")),
        "TABLE": ("table.csv", b"id,text\n1,a\n"),
        "NUMBERS": ("numbers.jsonl", b'{"text": 5}\n'),
        "BROKEN": ("broken.jsonl", b"{text}\n"),
        "FAKE": ("fake.parquet", b"no parquet"),
    }
    for name, content in contents.values():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "folder.csv").mkdir()
    return {key: name for key, (name, _) in contents.items()} | {"FOLDER": "folder.csv"}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_exit_code_2(run, files, tmp_path, case):
    arguments, message = BAD[case]
    before = set(tmp_path.iterdir())
    code, out, err = run(*[files.get(a, a) for a in arguments])
    assert (code, out) == (2, "")
    assert err.startswith("chainrule: ")
    assert message in err
    assert "Traceback" not in err
    assert set(tmp_path.iterdir()) == before  # no partial file is left


def test_an_empty_line_is_reported_and_the_lines_before_it_are_scored(run, files, tiny):
    code, out, err = run("score", "--file", files["EMPTY"])
    assert (code, [float(row["logprob"]) for row in rows_of(out)]) == (2, [tiny.score("a").logprob])
    assert err == (
        "chainrule: line 2 of empty.txt is empty, so there is no token to score; --skip-empty skips such rows. "
        "1 row is written: continue with --from 1 (and --skip-bad to skip such rows)\n"
    )


def test_bad_models(run, tmp_path, monkeypatch):
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path))
    (tmp_path / "pickled").mkdir()
    (tmp_path / "pickled" / "config.json").write_text("{}")
    (tmp_path / "pickled" / "pytorch_model.bin").write_bytes(b"")
    for model, message in (("smollm2-135m", "chainrule pull"), (str(tmp_path / "none"), "no model folder"),
                        (str(tmp_path / "pickled"), "pickle")):  # fmt: skip
        code, _, err = run("score", "a", model=model)
        assert code == 2
        assert message in err


def test_skip_empty(run, files):
    _, out, _ = run("score", "--file", files["EMPTY"], "--skip-empty")
    assert [row["text"] for row in rows_of(out)] == ["a", "b"]


def test_a_reader_that_stops_reading(tiny_folder):
    """`chainrule score … | head -1`: one line about it, no traceback."""
    command = [sys.executable, "-m", "chainrule.cli.main", "score", "--model", str(tiny_folder), "--per", "token"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdin.write(b"the quick brown fox jumps over the lazy dog\n" * 2000)
    process.stdin.close()
    process.stdout.readline()
    process.stdout.close()
    err = process.stderr.read().decode()
    assert process.wait() == 2
    assert "stopped reading" in err
    assert "Traceback" not in err
    assert "Exception ignored" not in err


def test_threads_are_set_and_dtype_auto_reports_its_reason(run, monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.setattr("chainrule.models.dtype.cpu_capabilities", lambda: {"avx2"})
    code, out, err = run("score", TEXTS[0], "--threads", "2", "--dtype", "auto", "--json")
    assert code == 0
    assert torch.get_num_threads() == 2
    assert err.startswith("float32, because this CPU has no bfloat16 arithmetic")
    assert err.count("\n") == 1
    assert json.loads(out)["invariant"] is True
    torch.set_num_threads(before)


def test_threads_must_be_one_at_least(run):
    code, _, err = run("score", TEXTS[0], "--threads", "0")
    assert code == 2
    assert "--threads" in err
