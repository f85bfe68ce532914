"""Several files: lists, folders and patterns, and the file of each row."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pyarrow.parquet
import pytest

from chainrule.cli import sections


@pytest.fixture
def run(command, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Run a command on the tiny model in a folder with some files, with two texts per shard."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sections, "ROWS", 2)
    Path("data/more").mkdir(parents=True)
    Path("data/b.csv").write_text("text\nc\nd\n")
    Path("data/a.txt").write_text("a\nb\n")
    Path("data/more/e.csv").write_text("text\ne\n")
    for name in (".hidden.txt", "_SUCCESS", "notes.docx", "old.incomplete.csv"):
        Path("data", name).write_text("x\n")
    return lambda *arguments, **stdin: command(*arguments, "--model", str(tiny_folder), **stdin)


def rows_of(text: str) -> list[tuple[str, str, str]]:
    return [(row["index"], row.get("file", ""), row["text"]) for row in csv.DictReader(io.StringIO(text))]


BOTH = [("0", "data/a.txt", "a"), ("1", "data/a.txt", "b"), ("2", "data/b.csv", "c"), ("3", "data/b.csv", "d")]
LEFT_OUT = "left out: _SUCCESS, notes.docx, old.incomplete.csv"


@pytest.mark.parametrize(
    ("arguments", "rows", "said"),
    [
        (["data"], BOTH, f"chainrule: data: 2 files; {LEFT_OUT}\n"),
        (["data/a.txt", "data/b.csv"], BOTH, ""),  # as a shell expands data/*
        (["data/a.txt", "--file", "data/b.csv"], BOTH, ""),
        (["data/[ab].*"], BOTH, "chainrule: data/[ab].*: 2 files\n"),
        (["data/?.csv"], [("0", "", "c"), ("1", "", "d")], "chainrule: data/?.csv: 1 file\n"),
        (["data/**/*.csv", "--from", "2"], [("2", "data/more/e.csv", "e")], "chainrule: data/**/*.csv: 2 files\n"),
    ],
)
def test_folders_and_patterns(run, arguments, rows, said):
    if "**" in arguments[0]:
        Path("data/old.incomplete.csv").unlink()
    assert run("score", "--file", *arguments)[0::2] == (0, said)
    assert rows_of(run("score", "--file", *arguments)[1]) == rows


def test_a_folder_with_a_format(run):
    code, out, err = run("score", "--file", "data/more", "--format", "text")
    assert (code, rows_of(out), err) == (0, [("0", "", "text"), ("1", "", "e")], "chainrule: data/more: 1 file\n")


def test_the_home_folder_in_a_pattern(run, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert run("score", "--file", "~/data/more/*.csv")[::2] == (0, "chainrule: ~/data/more/*.csv: 1 file\n")


def test_a_file_whose_name_looks_like_a_pattern(run):
    Path("data/[1].txt").write_text("z\n")
    assert rows_of(run("score", "--file", "data/[1].txt")[1]) == [("0", "", "z")]


def test_the_file_of_each_row_in_all_forms(run):
    files = ["--file", "data/a.txt", "data/b.csv"]
    names = ["data/a.txt", "data/a.txt", "data/b.csv", "data/b.csv"]
    assert [json.loads(line)["file"] for line in run("score", *files, "--json")[1].splitlines()] == names
    assert [row[1] for row in rows_of(run("score", *files, "--per", "token")[1].replace("token", "text", 1))] == names
    assert run("score", *files, "-o", "o.parquet")[0] == 0
    assert pyarrow.parquet.read_table("o.parquet")["file"].to_pylist() == names
    ranked = json.loads(run("rank", "The", *files, "--json")[1])["candidates"]
    assert {(row["index"], row["file"], row["text"]) for row in ranked} == {(int(i), f, t) for i, f, t in BOTH}
    assert rows_of(run("rank", "The", *files)[1]) != []
    both = run("score", "--file", "data/a.txt", "-", stdin="x\n")
    assert both[:1] == (2,)  # "-" is no further file
    assert [row[1] for row in rows_of(run("score", "-f", "data/a.txt", "-f", "-", stdin="x\n")[1])] == [
        "data/a.txt", "data/a.txt", "standard input"
    ]  # fmt: skip


def test_words_after_a_file_that_are_no_files_are_arguments(run):
    Path("config").write_text("")
    assert json.loads(run("rank", "--file", "data/a.txt", "config", "--json")[1])["context"] == "config"
    assert json.loads(run("rank", "--json", "-f", "data/a.txt", "data/b.csv", "The end?")[1])["context"] == "The end?"
    assert run("score", "--file", "data/a.txt", "hello there")[::2] == (
        2, "chainrule: give texts or --file, not both: hello there is read as a text\n"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("data/*.tsv", "no file matches data/*.tsv; the current folder is "),
        ("empty", "the folder empty has no file of a known form (.txt .csv"),
        ("other", "it has 1 file, such as notes.docx; name files, or use --format"),
        ("none", "cannot read none: No such file or directory"),
        ("data/notes.docx", "cannot infer the format of data/notes.docx"),
    ],
)
def test_names_that_stand_for_no_file(run, name, message):
    for folder in ("empty", "other"):
        Path(folder).mkdir()
    Path("other/notes.docx").write_text("x")
    code, out, err = run("score", "--file", name)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err


def test_the_output_is_not_read_as_input(run):
    assert run("score", "--file", "data", "-o", "data/scores.csv")[0] == 0
    code, _, err = run("score", "--file", "data", "-o", "data/scores.csv")
    assert code == 2
    assert "scores.csv" in err.splitlines()[-1]
