"""chainrule words: texts and tables in, one row per word out."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pyarrow.parquet
import pytest

from chainrule import LanguageModel
from chainrule.cli import sections

BY = 'item,condition,word,rt\n1,a,Hello,"310,5"\n1,a,"world,",290\n1,a,hello,\n1,b,the,310\n1,b,dog.,290\n2,a,jumps,7\n'

CONTEXTS = "item,word,before\n1,a,x\n1,b,x\n1,c,x\n1,d,y\n"


@pytest.fixture
def run(command, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Run the command on the tiny model in an empty folder, with two texts per shard."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sections, "SHARD", 2)
    monkeypatch.setattr(sections, "ROWS", 2)
    return lambda *arguments, **stdin: command("words", *arguments, "--model", str(tiny_folder), **stdin)


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def bits(rows: list[dict[str, str]]) -> list[float]:
    return [float(row["surprisal_bits"]) for row in rows]


def test_texts_as_arguments(run, tiny: LanguageModel):
    code, out, err = run("Hello world, hello there!", "the dog", "--previous", "1")
    rows = rows_of(out)
    assert (code, err) == (0, "")
    assert [row["word"] for row in rows] == ["Hello", "world,", "hello", "there!", "the", "dog"]
    assert [row["index"] for row in rows] == ["0", "0", "0", "0", "1", "1"]
    want = tiny.words(["Hello world, hello there!", "the dog"])
    assert bits(rows) == want.surprisal_bits.tolist()
    assert rows[1]["surprisal_bits_prev1"] == rows[0]["surprisal_bits"]
    assert rows[4]["surprisal_bits_prev1"] == ""


def test_options(run, tiny: LanguageModel):
    rows = rows_of(run("Hello, world", "--unit", "unicode", "--correction", "none", "--temperature", "2")[1])
    want = tiny.words("Hello, world", "unicode", correction="none", temperature=2.0)
    assert [row["word"] for row in rows] == ["Hello", ",", "world"]
    assert bits(rows) == want.surprisal_bits.tolist()
    assert {row["correction"] for row in rows} == {"none"}


def test_a_table_of_sentences_keeps_its_columns(run, tiny: LanguageModel):
    Path("s.csv").write_text("id;sentence;context\nx;Hello world;\ny; the dog;Hello.\n", encoding="utf-8")
    arguments = ["--file", "s.csv", "--text-column", "sentence", "--context-column", "context"]
    code, out, _ = run(*arguments)
    rows = rows_of(out)
    assert code == 0
    assert list(rows[0])[:5] == ["id", "sentence", "context", "index", "word"]
    assert [(row["id"], row["sentence"], row["index"], row["word"]) for row in rows] == [
        ("x", "Hello world", "0", "Hello"), ("x", "Hello world", "0", "world"),
        ("y", " the dog", "1", "the"), ("y", " the dog", "1", "dog"),
    ]  # fmt: skip
    want = tiny.words(["Hello world", " the dog"], context=[None, "Hello."])
    assert bits(rows) == want.surprisal_bits.tolist()
    keyed = rows_of(run(*arguments, "--id", "id")[1])
    assert list(keyed[0])[:3] == ["id", "index", "word"]
    lines = [json.loads(line) for line in run(*arguments, "--json")[1].splitlines()]
    assert [(line["id"], line["index"], line["word"]) for line in lines] == [
        ("x", 0, "Hello"), ("x", 0, "world"), ("y", 1, "the"), ("y", 1, "dog"),
    ]  # fmt: skip


def test_one_word_in_a_row(run, tiny: LanguageModel):
    """Exactly the rows of the table, in their order, over the borders of shards, also as JSON and Parquet."""
    Path("r.csv").write_text(BY, encoding="utf-8")
    want = tiny.words(["Hello world, hello", "the dog.", "jumps"], [["Hello", "world,", "hello"], ["the", "dog."], ["jumps"]])
    code, out, err = run("--file", "r.csv", "--by", "item,condition")
    rows = rows_of(out)
    assert (code, err) == (0, "")
    assert [",".join(row[name] for name in ("item", "condition", "word")) for row in rows] == [
        "1,a,Hello", "1,a,world,", "1,a,hello", "1,b,the", "1,b,dog.", "2,a,jumps",
    ]  # fmt: skip
    assert [row["rt"] for row in rows] == ["310,5", "290", "", "310", "290", "7"]
    assert [row["index"] for row in rows] == list("012345")
    assert [row["word_index"] for row in rows] == list("012010")
    assert bits(rows) == want.surprisal_bits.tolist()
    lines = [json.loads(line) for line in run("--file", "r.csv", "--by", "item,condition", "--json")[1].splitlines()]
    assert [(line["word"], line["index"], line["surprisal_bits"]) for line in lines] == [
        (row["word"], int(row["index"]), float(row["surprisal_bits"])) for row in rows
    ]
    assert run("--file", "r.csv", "--by", "item,condition", "-o", "o.parquet")[0] == 0
    table = pyarrow.parquet.read_table("o.parquet")
    assert table["surprisal_bits"].to_pylist() == want.surprisal_bits.tolist()
    assert table["rt"].to_pylist() == [row["rt"] for row in rows]


def test_words_without_spaces_and_contexts_of_rows(run, tiny: LanguageModel):
    Path("r.csv").write_text("s,w,before\n1,日本,Hello.\n1,語,Hello.\n", encoding="utf-8")
    rows = rows_of(run("--file", "r.csv", "--by", "s", "--word", "w", "--sep", "")[1])
    assert bits(rows) == tiny.words("日本語", ["日本", "語"]).surprisal_bits.tolist()
    rows = rows_of(run("--file", "r.csv", "--by", "s", "--word", "w", "--context-column", "before")[1])
    assert bits(rows) == tiny.words(" 日本 語", context="Hello.").surprisal_bits.tolist()


def test_from_a_row_on(run):
    Path("r.csv").write_text(BY, encoding="utf-8")
    rows = rows_of(run("--file", "r.csv", "--by", "item,condition", "--from", "3")[1])
    assert [row["index"] for row in rows] == ["3", "4", "5"]
    code, _, err = run("--file", "r.csv", "--by", "item,condition", "--from", "4")
    assert (code, "--from 4 is within a text, whose rows are 3 to 4" in err) == (2, True)


@pytest.mark.parametrize(
    ("cell", "text", "regions"),
    [
        ("The old|man|the boats.", "The old man the boats.", ["The old", "man", "the boats."]),
        ("The old |man| the boats.", "The old man the boats.", ["The old", "man", "the boats."]),
        ("all of it", "all of it", ["all of it"]),
    ],
)
def test_regions(run, tiny: LanguageModel, cell: str, text: str, regions: list[str]):
    Path("r.csv").write_text(f"marked\n{cell}\n", encoding="utf-8")
    rows = rows_of(run("--file", "r.csv", "--regions", "marked")[1])
    assert [row["word"] for row in rows] == regions
    assert bits(rows) == tiny.words(text, regions).surprisal_bits.tolist()
    assert rows[0]["marked"] == cell
    Path("t.csv").write_text(f"marked,text\n{cell},{text}\n", encoding="utf-8")
    assert bits(rows_of(run("--file", "t.csv", "--text-column", "text", "--regions", "marked")[1])) == bits(rows)


def test_spans_and_positions(run, tiny: LanguageModel):
    Path("r.csv").write_text('text,at,of\nthe quick brown fox,0:3 4-9,1 2-3\nHello world,"[[6, 11]]",0\n', encoding="utf-8")
    rows = rows_of(run("--file", "r.csv", "--spans", "at")[1])
    assert [row["word"] for row in rows] == ["the", "quick", "world"]
    rows = rows_of(run("--file", "r.csv", "--positions", "of")[1])
    assert [row["word"] for row in rows] == ["quick", "brown fox", "Hello"]
    want = tiny.words(["the quick brown fox", "Hello world"], [[(4, 9), (10, 19)], [(0, 5)]])
    assert bits(rows) == want.surprisal_bits.tolist()


def test_a_region_that_cuts_a_token_is_told(run, tiny: LanguageModel):
    Path("r.csv").write_text("text,at\nHello world,0:8 8:11\n", encoding="utf-8")
    code, out, err = run("--file", "r.csv", "--spans", "at")
    [token] = [token for token in tiny.score("Hello world").tokens if "w" in token]
    assert code == 0
    assert [row["boundary"] for row in rows_of(out)] == ["token crosses"] * 2
    assert [json.loads(row["crossing"]) for row in rows_of(out)] == [[token]] * 2
    assert err == f"chainrule: note: tokens cross the boundaries of some words (boundary: token crosses), such as {token!r}\n"


@pytest.mark.parametrize(
    ("table", "arguments", "message"),
    [
        (CONTEXTS, ["--by", "item", "--context-column", "before"], "row 4 of r.csv has another context than row 1 of r.csv"),
        (BY, ["--by", "item,what"], "there is no column 'what'; the columns are: item, condition, word, rt"),
        (BY, ["--by", "item,"], "--by takes names of columns separated by commas, such as item,condition, not 'item,'"),
        (BY, ["--by", "item", "--word", "token"], "there is no column 'token'"),
        (BY, ["--by", "item", "--text-column", "x"], "--text-column names a column of whole texts, but with"),
        (BY, ["--by", "item", "--regions", "x"], "--regions and --by each say what the words are: give one of them"),
        (BY, ["--by", "item", "--unit", "unicode"], "--unit says what the words are, and so does --by: give one of them"),
        (BY, ["--by", "item", "--skip-bad"], "--skip-bad cannot be used with --by"),
        (BY, ["--word", "word"], "--word is for tables with one word in a row: name the columns that make a text with --by"),
        (BY, ["--sep", "x"], "--sep is for tables with --by or --regions"),
        ("s,word\n1,a\n2,b\n1,c\n", ["--by", "s"], "row 3 of r.csv: s '1' has rows here and from row 1 of r.csv on, which are"),
        ("s,word\n1,a\n1,\n", ["--by", "s"], "row 2 of r.csv is empty"),
        ("s,word\n1,a\n,b\n", ["--by", "s"], "row 2 of r.csv has nothing in the column 's' (--by)"),
        ("s,word\n1,a\n1,  \n", ["--by", "s"], "row 2 of r.csv has only white space in the column 'word', which is no word"),
        ("text,at\na b,0:9\n", ["--spans", "at"], "row 1 of r.csv: column 'at': the span (0, 9) is outside the text"),
        ("text,at\na b,x\n", ["--spans", "at"], "row 1 of r.csv: column 'at': 'x' has no spans of characters such as 0:7 8:11"),
        ("text,at\na b,2\n", ["--positions", "at"], "the words 2 are not in the text, which has the words 0 to 1"),
        ("text,at\na b,1-0\n", ["--positions", "at"], "the words 1-0 are not in the text, which has the words 0 to 1"),
        ("text,at\na b,\n", ["--positions", "at"], "row 1 of r.csv: column 'at': it is empty, so the text has no regions"),
        ("text,at\na b,a|c\n", ["--text-column", "text", "--regions", "at"], "the words do not spell the text: word 1 is 'c'"),
        ("at\na||c\n", ["--regions", "at"], "row 1 of r.csv: column 'at': region 1 of 'a||c' is empty"),
        ("text\n \n", [], "row 1 of r.csv: the text ' ' has no words"),
    ],
)  # fmt: skip
def test_bad_input(run, table: str, arguments: list[str], message: str):
    Path("r.csv").write_text(table, encoding="utf-8")
    code, _, err = run("--file", "r.csv", *arguments)
    assert code == 2
    assert message in err


def test_bad_rows_are_skipped_on_request(run):
    Path("r.csv").write_text("text,at\na b,0:9\nHello world,0:5\n", encoding="utf-8")
    code, out, err = run("--file", "r.csv", "--spans", "at", "--skip-bad")
    assert (code, [row["word"] for row in rows_of(out)]) == (0, ["Hello"])
    assert "1 row was skipped (--skip-bad); the first: row 1 of r.csv: column 'at': the span (0, 9)" in err


def test_a_text_that_adjoins_its_context_is_told(run):
    code, _, err = run("the dog", "--context", "Hello.")
    assert code == 0
    assert "begins directly after its context, 'Hello.', without white space" in err
    assert run(" the dog", "--context", "Hello.")[2] == ""


def test_regions_need_a_table(run):
    code, _, err = run("a b", "--regions", "x")
    assert (code, "--regions is for tables, but the texts are given as arguments: use --file" in err) == (2, True)
