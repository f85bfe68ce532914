"""Input of the commands: several files, rows to skip, the first row, and options that contradict each other."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import threading
from pathlib import Path

import pyarrow.parquet
import pytest

from chainrule.cli import sections


@pytest.fixture
def run(command, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Run a command on the tiny model in a folder with some files, with three texts per shard."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sections, "ROWS", 3)
    Path("a.txt").write_text("a\n\nb\n")
    Path("c.csv").write_bytes(b'text\n"c\r\nd"\ne\n')
    Path("j.jsonl").write_text('{"text": "f"}\n{"text": 5}\n{"text": "' + "long " * 99 + '"}\n{"text": null}\n{"text": "g"}\n')
    return lambda *arguments, **stdin: command(*arguments, "--model", str(tiny_folder), **stdin)


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def indexed(out: str, column: str = "text") -> list[tuple[int, str]]:
    return [(int(row["index"]), row[column]) for row in rows_of(out)]


EXPECTED = [(0, "a"), (2, "b"), (3, "c\r\nd"), (4, "e"), (5, "a"), (7, "b")]
FILES = ("--file", "a.txt", "--file", "c.csv", "-f", "a.txt", "--skip-empty")


def test_files_are_read_in_order_and_index_counts_all_rows(run, tiny):
    code, out, _ = run("score", *FILES)
    assert (code, indexed(out)) == (0, [(i, text.replace("\r", "")) for i, text in EXPECTED])  # as the runner reads it
    assert float(rows_of(out)[2]["logprob"]) == tiny.score("c\r\nd").logprob != tiny.score("c\nd").logprob
    assert indexed(run("score", *FILES, "--from", "4")[1]) == EXPECTED[3:]


@pytest.mark.parametrize("name", ["o.csv", "o.jsonl", "o.parquet"])
def test_index_in_files(run, name):
    assert run("score", *FILES, "-o", name)[0] == 0
    read = {
        "o.csv": lambda: [(int(row["index"]), row["text"]) for row in rows_of(Path("o.csv").read_bytes().decode())],
        "o.jsonl": lambda: [(row["index"], row["text"]) for row in map(json.loads, Path("o.jsonl").read_text().splitlines())],
        "o.parquet": lambda: [(row["index"], row["text"]) for row in pyarrow.parquet.read_table("o.parquet").to_pylist()],
    }
    assert read[name]() == EXPECTED


def test_index_in_json_and_of_tokens_and_orders(run):
    _, out, _ = run("score", *FILES, "--json")
    assert [(row["index"], row["text"]) for row in map(json.loads, out.splitlines())] == EXPECTED
    _, out, _ = run("score", *FILES, "--per", "token")
    assert list(dict.fromkeys(int(row["index"]) for row in rows_of(out))) == [index for index, _ in EXPECTED]


def test_several_orders_have_the_index_too(command, tmp_path, monkeypatch):
    from model_zoo import untouched_any_order
    from text_zoo import byte_level

    monkeypatch.setattr(sections, "ROWS", 1)
    tokenizer = byte_level()
    untouched_any_order("llama", 12, vocab_size=tokenizer.size, bos_token_id=tokenizer.bos_id).save_pretrained(tmp_path)
    tokenizer.hf.save_pretrained(tmp_path)
    arguments = ("score", "--order", "random:2", "--skip-empty", "--model", str(tmp_path), "--per")
    for per, expected in (("text", ["0", "2"]), ("order", ["0", "0", "2", "2"])):
        _, out, _ = command(*arguments, per, stdin="a\n\nb\n")
        assert [row["index"] for row in rows_of(out)] == expected


def test_bad_rows_are_skipped_and_counted(run):
    code, out, err = run("score", "--file", "a.txt", "--file", "j.jsonl", "--skip-bad", "--no-window")
    assert (code, indexed(out)) == (0, [(0, "a"), (2, "b"), (3, "f"), (7, "g")])
    assert err == (
        "chainrule: 4 rows were skipped (--skip-bad); the first: line 2 of a.txt is empty, so there is no token to score; "
        "--skip-empty skips such rows\n"
    )
    _, out, err = run("rank", "The", "--file", "j.jsonl", "--skip-bad", "--skip-empty")
    assert {index for index, _ in indexed(out)} == {0, 2, 4}
    assert "1 row was skipped (--skip-bad); the first: line 2 of j.jsonl: column 'text' contains 5" in err
    code, out, err = run("score", "--skip-bad", stdin="\n\n")
    assert (code, out) == (2, "")
    assert "there is nothing to score: every row was skipped" in err


def test_without_skip_bad_the_first_bad_row_ends_the_run(run):
    code, out, err = run("score", "--file", "j.jsonl", "--no-window", "--from", "2")
    assert (code, out) == (2, "")
    assert err.startswith("chainrule: line 3 of j.jsonl: ")
    code, out, err = run("score", "--file", "j.jsonl")
    assert (code, indexed(out)) == (2, [(0, "f")])
    assert err.endswith(
        "contains 5, which is not text. 1 row is written: continue with --from 1 (and --skip-bad to skip such rows)\n"
    )


def test_compressed_standard_input_and_other_encodings(run):
    assert indexed(run("score", stdin=gzip.compress(b"a\nb\n"))[1]) == [(0, "a"), (1, "b")]
    assert indexed(run("score", "--encoding", "latin-1", stdin="é\n".encode("latin-1"))[1]) == [(0, "é")]
    assert indexed(run("score", "--format", "jsonl", "--column", "x", stdin='{"x": "a"}')[1], "x") == [(0, "a")]


BAD = [
    (("score", "hi", "--dtype", "float32", "--dtype", "float32"), "--dtype is given 2 times, but takes one value"),
    (("score", "hi", "-o", "x.csv", "--output", "y.csv"), "--output is given 2 times"),
    (("score", "c.csv"), "c.csv is a file: --file c.csv reads it; to score its name as a text, give it on standard input"),
    (("pseudo", "c.csv"), "c.csv is a file"),
    (("rank", "hi", "c.csv", "b"), "c.csv is a file"),
    *((("score", "hi", option, value), f"{option} is for --file and standard input") for option, value in (
        ("--text-column", "text"), ("--id", "x"), ("--separator", ";"),
        ("--context-column", "x"), ("--second-segment-column", "x"), ("--format", "csv"),
        ("--encoding", "utf-8"),
        ("--quotes", "csv"), ("--from", "0"))),
    (("score", "--file", "a.txt", "--column", "text"), "--text-column is for tables, but a.txt is read as plain lines: give"),
    (("score", "--file", "a.txt", "--quotes", "csv"), "--quotes is for CSV and TSV, but a.txt is read as text"),
    (("score", "--file", "c.csv", "--encoding", "klingon"), "--encoding 'klingon' is not a text encoding"),
    (("score", "--file", "c.csv", "--encoding", "rot13"), "--encoding 'rot13' is not a text encoding"),
    (("score", "--format", "parquet", "--encoding", "utf-8"), "--encoding is for text, but standard input is read as parquet"),
    (("score", "-f", "-", "-f", "-"), "--file - is given twice"),
    (("score", "-f", "a.txt", "-f", "none.txt"), "cannot read none.txt"),
    (("score", "hi", "--json", "-o", "x.csv"), "give --json or --output, not both"),
    (("rank", "hi", "a", "--json", "-o", "x.csv"), "give --json or --output, not both"),
    (("pseudo", "hi", "--json", "-o", "x.csv"), "give --json or --output, not both"),
    (("score", "hi", "--no-window", "--stride", "3"), "--stride is for windows, but --no-window is given"),
    (("score", "hi", "--no-window", "--window", "3"), "--window is for windows"),
    (("score", "hi", "--top", "3"), "use --per token, or with --json for a single text"),
    (("score", "--file", "a.txt", "--json", "--top", "3"), "use --per token"),
    (("score", "hi", "--seed", "3"), "--seed is for random orders"),
    (("score", "hi", "--start", "9" * 5000), "--start takes auto, bos, eos, given or a token id, not '999"),
    (("score", "hi", "--start", "²"), "--start takes auto, bos, eos, given or a token id, not '²'"),
    (("score", "hi", "--order", "9" * 5000), "or positions such as 0,4,2,1,3, not '999"),
    (("score", "--file", "a.txt", "--from", "3"), "--from 3 is past the last row: the input has 3 rows, counted from 0"),
    *((("verify", option, *value), f"{option} is for the texts of --file") for option, value in (
        ("--text-column", ["x"]), ("--separator", [";"]),
        ("--format", ["csv"]), ("--encoding", ["utf-8"]), ("--quotes", ["csv"]), ("--skip-empty", []))),
    (("verify", "--decode", "x", "--json"), "--json is for reports"),
    (("verify", "--code", "-"), "give --output for the code"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=lambda v: " ".join(v)[:50] if isinstance(v, tuple) else "")
def test_contradictions_are_one_line_before_a_model_is_loaded(run, command, monkeypatch, arguments, message):
    if "--start" not in arguments:
        monkeypatch.setattr("chainrule.loading.load", lambda *_, **__: pytest.fail("a model was loaded"))
    code, out, err = run(*arguments, stdin="hello")
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert message in err
    assert err.startswith("chainrule: ")


@pytest.mark.parametrize("form", ["text", "csv", "jsonl"])
def test_a_pipe_is_read_once(run, form):
    """As in --file <(…) of a shell."""
    lines = {"text": "{}", "csv": "{}", "jsonl": '{{"text": "{}"}}'}[form]
    head = "text\n" if form == "csv" else ""
    os.mkfifo("pipe")
    text = head + "".join(lines.format(f"a {i}") + "\n" for i in range(1500))
    writer = threading.Thread(target=lambda: Path("pipe").write_text(text))
    writer.start()
    code, out, err = run("score", "--file", "pipe", "--format", form)
    writer.join()
    assert (code, indexed(out), err) == (0, [(i, f"a {i}") for i in range(1500)], "")


def test_verify_on_the_texts_of_files(run):
    code, out, _ = run("verify", "--file", "a.txt", "--file", "c.csv", "--skip-empty")
    assert code == 0
    assert "4 texts to tokens" in out


def test_names_of_control_symbols_are_read_as_requested(command, tiny_folder, tiny):
    text, model = "The quick</s> fox", ["--model", str(tiny_folder)]
    for special, read in (("text", "text"), ("parse", "parse")):
        options = ["--special", special, *model]
        code, out, err = command("score", text, *options)
        row = next(csv.DictReader(io.StringIO(out)))
        assert (code, row["special"], err) == (0, read, "")
        assert float(row["logprob"]) == tiny.score(text, special=special).logprob
        ranked = json.loads(command("rank", text, " a", " b</s>", "--json", *options)[1])["candidates"]
        assert {(r["candidate"], r["special"], r["context_special"]) for r in ranked} == {
            (" a", None, read),
            (" b</s>", read, read),
        }
        conditional = json.loads(command("next", text, "--json", *options)[1])
        assert conditional["context"] == tiny.conditional(text, special=special).context
        explained = json.loads(command("explain", text, "--json", *options)[1])
        assert [f["token"] for f in explained["factors"]] == tiny.score(text, special=special).tokens
        generated = json.loads(command("generate", text, "--max-tokens", "2", "--json", *options)[1])
        assert generated["context_special"] == read
    both = ["--context", text, "--special", "text", "--context-special", "parse", "--json", *model]
    row = json.loads(command("score", " b</s>", *both)[1])
    assert (row["special"], row["context_special"]) == ("text", "parse")
    code, _, err = command("score", text, *model)
    assert code == 0
    assert "warning: a text contains the name of the control symbol </s>" in err
