"""Rows of files: cells are unchanged, unusable rows are reported, and unused columns are ignored."""

from __future__ import annotations

import csv
import gzip
import sys
import threading
from pathlib import Path

import pyarrow
import pyarrow.feather
import pyarrow.parquet
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import damaged_files

from chainrule import InputError
from chainrule.files.reading import Layout, read_rows


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A function that writes bytes to a file and reads it. It returns the cells of each row, or the row's problem."""
    monkeypatch.chdir(tmp_path)

    def read(name: str, raw: bytes | None, *columns: str, **layout: str) -> list:
        if raw is not None:
            Path(name).write_bytes(raw)
        file_rows = list(read_rows(name, columns or ("text",), Layout(**layout)))
        return [row.problem or (row.cells if columns else row.cells[0]) for row in file_rows]

    return read


def zstd(raw: bytes) -> bytes:
    stream = pyarrow.BufferOutputStream()
    with pyarrow.CompressedOutputStream(stream, "zstd") as compressed:
        compressed.write(raw)
    return stream.getvalue().to_pybytes()


def test_plain_lines(rows):
    assert rows("a.txt", b"\xef\xbb\xbfa \r\n\nb\rc\n\xc2\x85\xe2\x80\xa8d") == ["a ", "", "b\rc", "\x85\u2028d"]
    assert rows("a", b"a\xe9b\nc\n") == [
        "line 1 of a is not UTF-8: byte 0xe9 at offset 1; set the encoding with --encoding (latin-1, cp1252 …)", "c"
    ]  # fmt: skip
    assert rows("a", None, encoding="latin-1") == ["aéb", "c"]


def test_utf_16(rows):
    raw = "é\nb".encode("utf-16")
    with pytest.raises(
        InputError, match=r"a.txt is not UTF-8: it begins with the byte-order mark of utf-16; use --encoding utf-16"
    ):
        rows("a.txt", raw)
    assert rows("a.txt", None, encoding="utf-16") == ["é", "b"]
    assert rows("a.txt", raw[2:], encoding="utf-16-le") == ["é", "b"]
    with pytest.raises(InputError, match=r"a.txt is not UTF-16"):
        rows("a.txt", raw + b"\0", encoding="utf-16")


def test_cells_of_csv_are_unchanged(rows):
    long = "z" * 300_000
    raw = f'text,id\r\n"a\r\nb",1\r\n"say ""c""\n\rd",2\n{long},3\n\n" e ",4'.encode()
    assert rows("a.csv", raw) == ["a\r\nb", 'say "c"\n\rd', long, None, " e "]
    assert csv.field_size_limit() == 131_072  # the limit for other readers is unchanged


def test_bad_rows_of_csv_are_reported(rows):
    assert rows("a.csv", b'text,id\n"a\nb",1\nc,2,3\nd\n\xff,4\ne,\xff\n') == [
        "a\nb",
        'row 2 of a.csv (line 4) has 3 cells, but the header has 2; quote cells that contain commas ("a, b")',
        'row 3 of a.csv (line 5) has 1 cell, but the header has 2; quote cells that contain commas ("a, b")',
        "row 4 of a.csv: column 'text' is not UTF-8: byte 0xff at offset 0; "
        "set the encoding with --encoding (latin-1, cp1252 …)",
        "e",
    ]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "line 1 of a.csv is blank or missing"),
        (b"\ntext\na\n", "line 1 of a.csv is blank or missing"),
        (b"text,text\na,b\n", "a.csv: there are 2 columns 'text'"),
        (b"id\n1\n", "a.csv: there is no column 'text'; the columns are: id"),
        (b'text\na\n"b"c\n', "line 3 of a.csv is not valid CSV: ',' expected after '\"'; --quotes text reads quotes as text"),
        (b'text\na\n"b\nc\n', "line 3 of a.csv is not valid CSV: unexpected end of data"),
    ],
)
def test_invalid_csv(rows, raw, message):
    with pytest.raises(InputError) as raised:
        rows("a.csv", raw)
    assert str(raised.value).startswith(message)


def test_quotes_of_tsv_follow_the_option(rows):
    raw = b'text\tid\na "b" c\t1\n"d"\t2\n'
    with pytest.raises(InputError, match=r'line 3 of a.tsv: a cell begins with a quote, "d", .*--quotes text .*--quotes csv'):
        rows("a.tsv", raw)
    assert rows("a.tsv", None, quotes="text") == ['a "b" c', '"d"']
    assert rows("a.tsv", None, quotes="csv") == ['a "b" c', "d"]
    assert rows("a.csv", b'text\n"a"b\n', quotes="text") == ['"a"b']


def test_json_lines(rows):
    lines = [b'{"text":"a","n":' + b"9" * 5000 + b',"x":1e999,"y":"\xff","y":2}', b"", b" null ", b'{"text":null}',
             b'{"text":5.50}', b'{"text":"a","text":"b"}', b'{"id":1}', b"[1]", b'{"text":"\\ud800"}', b'{"text":"\xff"}',
             b"{bad", b"[" * 100_000, b'{"text":"\xf0\x9f\x8e\x89\\ud83c\\udf89"}']  # fmt: skip
    assert rows("a.jsonl", b"\n".join(lines)) == [
        "a",
        None,
        None,
        None,
        "line 5 of a.jsonl: column 'text' contains 5.50, which is not text",
        "line 6 of a.jsonl: there are two columns 'text'",
        "line 7 of a.jsonl: there is no column 'text'; the columns are: id",
        "line 8 of a.jsonl is not a JSON object but [1]",
        "line 9 of a.jsonl: column 'text' contains half a character, \\ud800, which is not text",
        "line 10 of a.jsonl: column 'text' is not UTF-8: byte 0xff at offset 0; "
        "set the encoding with --encoding (latin-1, cp1252 …)",
        "line 11 of a.jsonl is not valid JSON: Expecting property name enclosed in double quotes at character 2",
        "line 12 of a.jsonl is nested too deeply",
        "🎉🎉",
    ]


def test_json_arrays(rows):
    assert rows("a.json", b'["a", null, {"text": "b"}, 5, ""]') == [
        "a",
        None,
        "b",
        "row 4 of a.json is not a JSON object but 5",
        "",
    ]
    for raw, message in (
        (b'{"text": 1}\n{}', "not valid JSON: Extra data at line 2, character 1; for one object per line, use --format jsonl"),
        (b'{"text": 1}', "is not a JSON array"),
        (b"[" * 100_000, "nested too deeply"),
    ):
        with pytest.raises(InputError, match=message):
            rows("a.json", raw)


@pytest.mark.parametrize("squeeze", [gzip.compress, zstd])
@pytest.mark.parametrize("name", ["a.csv.gz", "a.csv.zst", "a.csv"])
def test_compressed_files_of_several_parts(rows, squeeze, name):
    raw = squeeze(b"text\na\n") + squeeze(b"b\n")
    assert rows(name, raw) == ["a", "b"]
    with pytest.raises(InputError, match=f"cannot read {name} to its end: its compressed data is truncated"):
        rows(name, raw[:-3])


BAD = pyarrow.Array.from_buffers(
    pyarrow.string(), 2, [None, pyarrow.py_buffer(b"\0\0\0\0\1\0\0\0\2\0\0\0"), pyarrow.py_buffer(b"a\xff")]
)


def columnar(kind: str, table: pyarrow.Table) -> None:
    if kind == "parquet":
        pyarrow.parquet.write_table(table, "a.parquet")
    elif kind == "feather":
        pyarrow.feather.write_feather(table, "a.feather")
    else:
        with pyarrow.ipc.new_stream("a.arrow", table.schema) as writer:
            writer.write_table(table)


@pytest.mark.parametrize("kind", ["parquet", "feather", "arrow"])
def test_columnar_files(rows, kind):
    name = f"a.{kind}"
    texts = pyarrow.array(["a", None, "é"])
    table = pyarrow.table({"text": texts, "coded": texts.dictionary_encode(), "large": texts.cast(pyarrow.large_string()),
                           "view": texts.cast(pyarrow.string_view()), "none": pyarrow.nulls(3), "n": [1, 2, 3],
                           "late": pyarrow.array([2**62] * 3, pyarrow.timestamp("us")), "x.y": texts})  # fmt: skip
    columnar(kind, table)
    assert rows(name, None, "text", "coded", "large", "view", "none", "x.y") == [
        (cell, cell, cell, cell, None, cell) for cell in ("a", None, "é")
    ]
    for column, message in (
        ("n", "column 'n' has type int64, which is not text"),
        ("zz", "there is no column 'zz'; the columns are: text,"),
    ):
        with pytest.raises(InputError, match=message):
            rows(name, None, column)
    columnar(kind, pyarrow.table({"text": BAD, "other": BAD}))
    assert rows(name, None) == ["a", f"row 2 of {name}: column 'text' is not UTF-8: byte 0xff at offset 0"]
    columnar(kind, pyarrow.Table.from_arrays([texts, texts, texts], ["text", "text", "other"]))
    assert rows(name, None, "other") == [("a",), (None,), ("é",)]
    with pytest.raises(InputError, match="there are 2 columns 'text'"):
        rows(name, None)


def test_formats_by_name_and_by_option(rows):
    assert rows("a.dat", b"text\na\n", form="csv") == ["a"]
    with pytest.raises(
        InputError, match=r"cannot infer the format of a.dat: use --format text \(one text per line\), csv, tsv"
    ):
        rows("a.dat", None)
    with pytest.raises(InputError, match=r"a.txt is not text, it begins like parquet: use --format parquet"):
        rows("a.txt", b"PAR1 and so on")
    for name, message in (("none.txt", "cannot read none.txt: No such file"), (".", "cannot read .: Is a directory")):
        with pytest.raises(InputError, match=message):
            rows(name, None)


def test_concurrent_readers(rows, tmp_path):
    """Cells longer than the limit of the csv module, in several threads at once."""
    Path("a.csv").write_text("text\n" + f"{'z' * 200_000}\n" * 20)
    counts: list[int] = []
    threads = [threading.Thread(target=lambda: counts.append(len(rows("a.csv", None)))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [20] * 4
    with pytest.raises(csv.Error, match="field larger"):
        list(csv.reader(["z" * 200_000]))


def test_damaged_files_are_refused_with_a_one_line_error():
    """A short form of benchmarks/damaged_files.py, which runs ten times as many cases."""
    counts = damaged_files.trial(30)
    assert {name: count["failures"] for name, count in counts.items()} == dict.fromkeys(damaged_files.samples(), 0)
    for name, whole in damaged_files.samples().items():
        assert damaged_files.damaged(whole, damaged_files.random.Random(1)) != whole, name
