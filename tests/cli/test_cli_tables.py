"""A user's table in, the same table out: all columns, with their values and types, in the order of the rows, then ours."""

from __future__ import annotations

import csv
import datetime
import decimal
import gzip
import io
import json
import sys
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.feather
import pyarrow.parquet
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import tables

from chainrule.cli import sections

CSV = 'item,"long, name",sentence,rt\n1,"x ""y""\nz",The dog sleeps,"0,5"\n2,,A cat sat,7\n2,é,The dog ran,08\n'
ROWS = [["1", 'x "y"\nz', "The dog sleeps", "0,5"], ["2", "", "A cat sat", "7"], ["2", "é", "The dog ran", "08"]]
NAMES = ["item", "long, name", "sentence", "rt"]


@pytest.fixture
def run(command, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Run a command on the tiny model in a folder, with two texts per shard."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sections, "ROWS", 2)
    Path("items.csv").write_bytes(CSV.encode())
    return lambda *arguments, **stdin: command(*arguments, "--model", str(tiny_folder), **stdin)


def table_of(text: str) -> tuple[list[str], list[list[str]]]:
    names, *rows = csv.reader(io.StringIO(text, newline=""))
    return names, rows


def read(name: str) -> list[dict[str, Any]]:
    if name.endswith(".parquet"):
        return pyarrow.parquet.read_table(name).to_pylist()
    text = Path(name).read_bytes().decode()
    return (
        [*map(json.loads, text.splitlines())]
        if name.endswith(".jsonl")
        else list(csv.DictReader(io.StringIO(text, newline="")))
    )


def test_all_columns_of_csv_come_first_and_unchanged(run, tiny):
    code, _, err = run("score", "--file", "items.csv", "--text-column", "sentence", "-o", "o.csv")
    names, rows = table_of(Path("o.csv").read_bytes().decode())
    assert (code, names[:4], [row[:4] for row in rows]) == (0, NAMES, ROWS)
    assert names[4:7] == ["index", "context_text", "logprob"]  # our text repeats theirs
    assert [row[4] for row in rows] == ["0", "1", "2"]
    assert [float(row[6]) for row in rows] == [tiny.score(row[2]).logprob for row in ROWS]
    assert err == ""
    assert run("score", "--file", "items.csv", "--column", "sentence", "-o", "o.parquet")[2] == ""
    assert [list(row.values())[:4] for row in read("o.parquet")] == ROWS
    out = run("score", "--file", "items.csv", "--text-column", "sentence", "--json")[1]
    assert [list(json.loads(line).items())[:4] for line in out.splitlines()] == [
        list(zip(NAMES, row, strict=True)) for row in ROWS
    ]
    assert [(row["index"], "text" in row) for row in map(json.loads, out.splitlines())] == [(0, False), (1, False), (2, False)]


@pytest.mark.parametrize(
    ("name", "raw", "options"),
    [
        ("bom.csv", b"\xef\xbb\xbf" + CSV.encode(), ()),
        ("semicolon.csv", CSV.replace(",", ";").encode(), ()),
        ("tab.csv", CSV.replace(",", "\t").encode(), ()),
        ("sep.csv", b"sep=;\r\n" + CSV.replace(",", ";").encode(), ()),
        ("given.csv", CSV.replace(",", "|").encode(), ("--separator", "|")),
        ("given.txt", CSV.replace(",", "\t").encode(), ("--format", "csv", "--separator", "tab")),
        ("western.csv", CSV.replace(",", ";").encode("cp1252"), ("--encoding", "cp1252")),
        ("excel.csv", CSV.encode("utf-16"), ("--encoding", "utf-16")),
        ("a.csv.gz", gzip.compress(CSV.encode()), ()),
        ("-", CSV.encode(), ("--format", "csv")),
    ],
)
def test_csv_as_people_have_it(run, name, raw, options):
    if name != "-":
        Path(name).write_bytes(raw)
    code, out, err = run("score", "--file", name, "--column", "sentence", *options, stdin=raw if name == "-" else None)
    names, rows = table_of(out)
    char = {"semicolon.csv": ";", "sep.csv": ";", "western.csv": ";", "tab.csv": "\t", "given.csv": "|", "given.txt": "\t"}
    expected = [[cell.replace(",", char.get(name, ",")) for cell in row] for row in [NAMES, *ROWS]]
    assert (code, [names[:4], *(row[:4] for row in rows)], err) == (0, expected, "")


@pytest.mark.parametrize(
    ("name", "raw", "column"),
    [
        ("a.csv", "item,condition,sentence,rt\ni1,low,A cat sat,1\ni2,high,Sleep,2\n", "sentence"),
        ("a.csv", "id,zh\n1,猫\n2,狗\n", "zh"),
        ("a.csv", "words\na\nb\n", "words"),  # the only column
        ("a.jsonl", '{"n": 1, "s": "a b"}\n{"n": "2 3", "s": "c d"}\n', "s"),
        ("-", "id,zh\n1,猫\n2,狗\n", "zh"),
    ],
)
def test_the_column_of_texts_is_guessed_if_it_is_clear(run, name, raw, column):
    if name != "-":
        Path(name).write_text(raw)
    code, out, err = run("score", "--file", name, *(("--format", "csv") if name == "-" else ()), stdin=raw)
    assert (code, "text" in table_of(out)[0]) == (0, False)
    shown = "standard input" if name == "-" else name
    assert err == f"chainrule: {shown}: the texts are taken from the column '{column}' (--text-column)\n"


def test_a_first_line_with_several_separators_is_told(run):
    Path("a.csv").write_text("id;what, where;text\n1;x;a b\n")
    code, out, err = run("score", "--file", "a.csv")
    assert (code, table_of(out)[0][:3]) == (0, ["id", "what, where", "text"])
    assert err == (
        "chainrule: a.csv: the first line has semicolons and commas, and is split at semicolons; "
        "--separator names another separator\n"
    )


JSON = [
    '{"id": 7, "n": 5.50, "text": "a b", "deep": {"x": [1, {"y": null}]}, "ok": true, "mixed": 1}',
    '{"text": "c", "id": 12345678901234567890, "mixed": "one", "é": "late", "n": 3}',
    '{"text": "d", "id": null, "mixed": [], "n": 1e2}',
]


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_values_of_json_keep_their_spelling_in_json_and_csv(run, name):
    Path(name).write_text("\n".join(JSON) if name == "a.jsonl" else f"[{', '.join(JSON)}]")
    for options in (("--json",), ("-o", "o.jsonl")):
        code, out, err = run("score", "--file", name, *options)
        lines = (out or Path("o.jsonl").read_text()).splitlines()
        assert (code, err) == (0, "")
        own = [line[: line.index(', "index"')] + "}" for line in lines]
        names = ["id", "n", "text", "deep", "ok", "mixed", "é"]  # in the order in which they first appear
        if options[0] == "--json":
            assert json.loads(own[0]) == json.loads(JSON[0])
        assert own[0] == JSON[0]
        for line, row in zip(own, JSON, strict=True):
            assert json.loads(line, parse_float=str, parse_int=str) == json.loads(row, parse_float=str, parse_int=str)
    out = run("score", "--file", name)[1]
    rows = list(csv.DictReader(io.StringIO(out)))
    assert table_of(out)[0][:7] == names
    assert [[row[each] for each in names] for row in rows] == [
        ["7", "5.50", "a b", '{"x": [1, {"y": null}]}', "true", "1", ""],
        ["12345678901234567890", "3", "c", "", "", "one", "late"],
        ["", "1e2", "d", "", "", "[]", ""],
    ]
    ranked = json.loads(run("rank", "The", "--file", name, "--json")[1])["candidates"]
    assert {row["index"]: (row["id"], row["n"]) for row in ranked} == {
        0: (7, 5.5),
        1: (12345678901234567890, 3),
        2: (None, 100),
    }


def test_types_of_json_do_not_depend_on_shards(run):
    lines = ['{"text": "a", "n": 1, "m": null, "o": {"x": 1}}', '{"text": "b", "n": 2, "m": null, "o": {}}',
             '{"text": "c", "n": 2.5, "m": "z", "o": null, "late": [1, null]}', '{"text": "d"}']  # fmt: skip
    expected = {"text": "string", "n": "double", "m": "string", "o": "string", "late": "list<element: int64>"}
    Path("a.jsonl").write_text("\n".join(lines))
    assert run("score", "--file", "a.jsonl", "-o", "o.parquet")[0] == 0
    schema = pyarrow.parquet.read_schema("o.parquet")
    assert {name: str(schema.field(name).type) for name in expected} == expected
    assert [[row[name] for name in expected] for row in read("o.parquet")] == [
        ["a", 1.0, None, '{"x": 1}', None], ["b", 2.0, None, "{}", None], ["c", 2.5, "z", None, [1, None]], ["d"] + [None] * 4
    ]  # fmt: skip
    assert run("score", "--file", "a.jsonl", "-o", "o.csv")[0] == 0
    assert [row["late"] for row in read("o.csv")] == ["", "", "[1, null]", ""]


@pytest.mark.parametrize(
    ("output", "what"), [("o.parquet", "has another type of value"), ("o.csv", "first appears"), ("o.jsonl", "")]
)
def test_columns_of_standard_input_that_appear_late(run, output, what):
    late = '{"text": "c", "n": 2.5}' if what != "first appears" else '{"text": "c", "m": 1}'
    lines = '{"text": "a", "n": 1}\n{"text": "b", "n": 2}\n' + late
    code, _, err = run("score", "--format", "jsonl", "-o", output, stdin=lines)
    if output == "o.jsonl":
        assert (code, [row.get("n") for row in read(output)]) == (0, [1, 2, 2.5])
        return
    column = "n" if output == "o.parquet" else "m"
    assert code == 2
    assert f"line 3 of standard input: the column '{column}' {what} here, after the first rows were written" in err
    assert f"2 rows are kept in o.incomplete{Path(output).suffix}: continue with --from 2" in err


def typed() -> pyarrow.Table:
    day = datetime.datetime(2026, 1, 2, 3, 4, 5, 6, datetime.UTC)
    return pyarrow.table({
        "small": pyarrow.array([1, None, 3], pyarrow.int8()),
        "text": pyarrow.array(["a b", "c", "d"], pyarrow.large_string()),
        "genre": pyarrow.array(["x", "y", "x"]).dictionary_encode(),
        "when": pyarrow.array([day, None, day], pyarrow.timestamp("us", "UTC")),
        "price": pyarrow.array([decimal.Decimal("1.50"), None, decimal.Decimal("2.00")], pyarrow.decimal128(8, 2)),
        "nested": pyarrow.array([{"s": "e f", "l": [1]}, None, {"s": "g", "l": []}],
                                pyarrow.struct([("s", pyarrow.string()), ("l", pyarrow.list_(pyarrow.int16()))])),
        "raw": [b"\xff", None, b""],
        "x": pyarrow.array([1.5, float("nan"), None], pyarrow.float32()),
    })  # fmt: skip


@pytest.mark.parametrize("name", ["t.parquet", "t.feather", "t.arrow"])
def test_types_of_arrow_are_kept(run, name):
    theirs = typed()
    if name == "t.parquet":
        pyarrow.parquet.write_table(theirs, name)
        theirs = pyarrow.parquet.read_table(name)
    elif name == "t.feather":
        pyarrow.feather.write_feather(theirs, name)
    else:
        with pyarrow.ipc.new_stream(name, theirs.schema) as writer:
            writer.write_table(theirs)
    code, _, err = run("score", "--file", name, "-o", "o.parquet")
    assert (code, err) == (0, "")
    ours = pyarrow.parquet.read_table("o.parquet")
    assert ours.column_names[: len(theirs.column_names)] == theirs.column_names
    for column in theirs.column_names:
        kinds = [str(table.schema.field(column).type).replace("int8,", "int32,") for table in (ours, theirs)]
        assert kinds[0] == kinds[1].replace("item:", "element:"), column
    assert str(ours.select(theirs.column_names).to_pylist()) == str(theirs.to_pylist())
    rows = list(csv.DictReader(io.StringIO(run("score", "--file", name)[1])))
    assert list(rows[0].values())[:8] == [
        "1", "a b", "x", "2026-01-02 03:04:05.000006Z", "1.50", '{"s": "e f", "l": [1]}', "/w==", "1.5"
    ]  # fmt: skip
    rows = [json.loads(line) for line in run("score", "--file", name, "--json")[1].splitlines()]
    assert (rows[1]["small"], rows[1]["x"], rows[0]["nested"]) == (None, "NaN", {"s": "e f", "l": [1]})


def test_nested_columns(run):
    pyarrow.parquet.write_table(typed().slice(0, 1), "t.parquet")
    code, out, _ = run("score", "--file", "t.parquet", "--column", "nested.s")
    row = next(csv.DictReader(io.StringIO(out)))
    assert (code, row["text"], row["text_chainrule"], row["index"]) == (0, "a b", "e f", "0")
    Path("a.jsonl").write_text('{"a": {"b": "deep"}, "a.b": "exact"}\n{"a": {"b": {"c": "deeper"}}, "n": 5}\n')
    assert json.loads(run("score", "--file", "a.jsonl", "--column", "a.b", "--json")[1].splitlines()[0])["a.b"] == "exact"
    code, out, _ = run("score", "--file", "a.jsonl", "--column", "a.b.c", "--from", "1", "--json")
    assert (code, json.loads(out)["text"]) == (0, "deeper")


def test_names_that_both_have(run):
    Path("a.csv").write_text("index,logprob,logprob_chainrule,text\nx,y,z,a\nx,y,z,b\nx,y,z,c\n")
    code, _, err = run("score", "--file", "a.csv", "-o", "o.csv")
    rows = read("o.csv")
    assert (code, [list(row.values())[:4] for row in rows]) == (0, [["x", "y", "z", letter] for letter in "abc"])
    assert [row["index_chainrule"] for row in rows] == ["0", "1", "2"]
    assert float(rows[0]["logprob_chainrule2"]) < 0
    assert err == (
        "chainrule: note: your table has columns with the names of ours, which keep them; of our columns, "
        "index is index_chainrule, logprob is logprob_chainrule2\n"
    )
    lines = run("score", "--file", "a.csv", "--json")[1].splitlines()
    assert [json.loads(line)["index_chainrule"] for line in lines] == [0, 1, 2]


def test_rank_keeps_the_columns_and_numbers_the_rows(run):
    code, out, _ = run("rank", "The", "--file", "items.csv", "--column", "sentence")
    names, rows = table_of(out)
    assert (code, names[:6]) == (0, [*NAMES, "rank", "index"])
    assert all(row[:4] == ROWS[int(row[5])] for row in rows)
    assert sorted(row[5] for row in rows) == ["0", "1", "2"]


def test_rows_of_tokens_have_the_key_or_all_columns(run):
    _, out, err = run("score", "--file", "items.csv", "--column", "sentence", "--id", "item", "--per", "token")
    names, rows = table_of(out)
    assert names[:4] == ["item", "index", "place", "token"]
    assert [tuple(key) for key in dict.fromkeys((row[0], row[1]) for row in rows)] == [("1", "0"), ("2", "1"), ("2", "2")]
    assert err == "chainrule: note: row 3 of items.csv has the same 'item' (--id) as row 2 of items.csv: 2\n"
    names, rows = table_of(run("score", "--file", "items.csv", "--column", "sentence", "--per", "token")[1])
    assert names[:5] == [*NAMES, "index"]
    assert all(row[:4] == ROWS[int(row[4])] for row in rows)
    names, _ = table_of(run("score", "--file", "items.csv", "--column", "sentence", "--id", "item")[1])
    assert names[:5] == [*NAMES, "index"]


def test_the_context_column_is_not_repeated(run):
    Path("a.csv").write_text("before,text\nThe,a\n,b\n")
    names, rows = table_of(run("score", "--file", "a.csv", "--context-column", "before")[1])
    assert names[:4] == ["before", "text", "index", "logprob"]
    assert "context_text" not in names
    assert "context_text" in table_of(run("score", "--file", "a.csv", "--context", "The")[1])[0]
    assert [row[0] for row in rows] == ["The", ""]


def test_several_files(run):
    Path("b.csv").write_text("text,id\nc,3\n")
    Path("a.csv").write_text("id,text\n1,a\n2,b\n")
    code, out, _ = run("score", "--file", "a.csv", "b.csv")
    names, rows = table_of(out)
    assert (code, names[:4]) == (0, ["id", "text", "index", "file"])
    assert [row[:4] for row in rows] == [["1", "a", "0", "a.csv"], ["2", "b", "1", "a.csv"], ["3", "c", "2", "b.csv"]]
    Path("c.jsonl").write_text('{"id": 5, "text": "d"}')
    lines = run("score", "--file", "a.csv", "--file", "c.jsonl", "--json")[1].splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["1", "2", 5]


@pytest.mark.parametrize("name", ["t.parquet", "t.feather", "t.arrow", "t.csv", "t.jsonl", "t.json"])
def test_a_table_without_rows(run, name):
    nothing = typed().slice(0, 0)
    if name == "t.parquet":
        pyarrow.parquet.write_table(nothing, name)
    elif name == "t.feather":
        pyarrow.feather.write_feather(nothing, name)
    elif name == "t.arrow":
        with pyarrow.ipc.new_stream(name, nothing.schema) as writer:
            writer.write_table(nothing)
    else:
        Path(name).write_text({"t.csv": "text,n\n", "t.json": "[]"}.get(name, ""))
    code, _, err = run("score", "--file", name, "-o", "o.parquet")
    assert (code, err) == (2, "chainrule: there is nothing to score: the input has no text\n")
    assert not Path("o.parquet").exists()


def test_types_that_parquet_lacks(run):
    pyarrow.feather.write_feather(pyarrow.table({"text": ["a"], "x": [pyarrow.MonthDayNano([1, 2, 3])]}), "t.feather")
    assert "MonthDayNano" in run("score", "--file", "t.feather")[1]
    code, _, err = run("score", "--file", "t.feather", "-o", "o.parquet")
    assert (code, err.startswith("chainrule: cannot write o.parquet: Unhandled type")) == (2, True)
    assert err.endswith("; write a .csv or .jsonl file\n")


@pytest.mark.parametrize(("source", "target"), [("csv", "csv"), ("jsonl", "parquet"), ("parquet", "jsonl")])
def test_thousands_of_rows_on_a_table_model(tmp_path, source, target):
    """A short form of benchmarks/tables.py: every row and column, in order."""
    tables.measure(tmp_path, source, target, "sequence", "2000")


def write_bad() -> None:
    Path("missing.csv").write_text("id,sentence,gloss\n1,a b,c d\n")
    Path("none.csv").write_text("id,label\n1,x\n")
    Path("empty.csv").write_text("id,text\n1,a\n2,\n")
    Path("bytes.csv").write_bytes(b"id,text\n1,a\n2,caf\xe9 b\n3,c\n")
    Path("other.csv").write_bytes(b"id,text\n\xff,a\n")
    Path("cells.csv").write_text("id;text\n1;a\n2;a;b\n")
    Path("twice.csv").write_text("id,text,id\n1,a,2\n")
    Path("other_columns.csv").write_text("id,text,more\n1,a,2\n")
    Path("german.csv").write_bytes("item;satz\n1;Größe zählt\n".encode("cp1252"))
    Path("header.csv").write_bytes("id;text;größe\n1;a;2\n".encode("cp1252"))
    Path("key.csv").write_text("id,text\n1,a\n,b\n")
    Path("a.jsonl").write_text('{"a": 5, "text": "x"}\n')
    Path("twice.jsonl").write_text('{"text": "x", "a": {"b": 1, "b": 2}}\n')
    Path("name.jsonl").write_bytes(b'{"text": "x", "\xe9": 1}\n')
    Path("bytes.jsonl").write_bytes(b'{"text": "x"}\n{"text": "\xe9"}\n')
    Path("lines.txt").write_bytes(b"x\ny\nz\xe9\n")
    pyarrow.parquet.write_table(typed(), "t.parquet")
    pyarrow.parquet.write_table(typed().set_column(0, "small", [[1, 2, 3]]), "t64.parquet")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.csv", "--column", "text"], "missing.csv: there is no column 'text'; the columns are: id, sentence, gloss"),
        (["missing.csv"], "missing.csv: there is no column 'text', and the columns 'sentence' and 'gloss' hold texts: name it "
                          "with --text-column; the columns are: id, sentence, gloss"),
        (["none.csv"], "none.csv: there is no column 'text', and no column is clearly that of the texts: name it with"),
        (["empty.csv"], "row 2 of empty.csv is empty, so there is no token to score; --skip-empty skips such rows"),
        (["bytes.csv"], "row 2 of bytes.csv: column 'text' is not UTF-8: byte 0xe9 at offset 3; set the encoding with --enc"),
        (["other.csv"], "row 1 of other.csv: column 'id' is not UTF-8: byte 0xff at offset 0; set the encoding with --encod"),
        (["german.csv"], "row 1 of german.csv: column 'satz' is not UTF-8: byte 0xf6 at offset 2; set the encoding with"),
        (["header.csv"], "line 1 of header.csv, which names the columns, is not UTF-8: byte 0xf6 at offset 2; set"),
        (["bytes.csv", "--encoding", "ascii"], "row 2 of bytes.csv: column 'text' is not ASCII: byte 0xe9 at offset 3"),
        (["bytes.jsonl"], "line 2 of bytes.jsonl: column 'text' is not UTF-8: byte 0xe9 at offset 0"),
        (["lines.txt"], "line 3 of lines.txt is not UTF-8: byte 0xe9 at offset 1; set the encoding with --encoding"),
        (["cells.csv"], 'row 2 of cells.csv (line 3) has 3 cells, but the header has 2; quote cells that contain sem'),
        (["twice.csv"], "twice.csv: there are 2 columns 'id': rename them"),
        (["name.jsonl"], "line 1 of name.jsonl: column '\\udce9' is not UTF-8: byte 0xe9 at offset 0"),
        (["twice.jsonl"], "line 1 of twice.jsonl: there are two fields 'b' in column 'a'"),
        (["key.csv", "--id", "item"], "key.csv: there is no column 'item'; the columns are: id, text"),
        (["key.csv", "--id", "id"], "row 2 of key.csv has nothing in the column 'id' (--id), so the row has no key"),
        (["a.jsonl", "--column", "a.b"], "line 1 of a.jsonl: there is no column 'a.b': 'a' is not an object but 5"),
        (["t.parquet", "--column", "small.b"], "t.parquet: there is no column 'small.b': 'small' has type int8, whi"),
        (["t.parquet", "--column", "nested.z"], "t.parquet: there is no column 'nested.z'; the columns are: s, l (of 'ne"),
        (["key.csv", "other_columns.csv"], "key.csv and other_columns.csv have different columns: only other_columns.csv ha"),
        (["t.parquet", "t64.parquet"], "the column 'small' has the type int8 in t.parquet and int64 in t64.parquet: score"),
        (["t.parquet", "a.jsonl"], "t.parquet has types and a.jsonl is JSON, which has none: score these files apart"),
        (["key.csv", "--separator", ";;"], "--separator takes one character, such as ; or tab, not ';;'"),
        (["lines.txt", "--id", "x"], "--id is for tables, but lines.txt is read as plain lines"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_bad_input(run, arguments, message):
    write_bad()
    code, _, err = run("score", "--file", *arguments)
    assert (code, err.count("\n")) == (2, 1), err
    assert err.startswith(f"chainrule: {message}")
