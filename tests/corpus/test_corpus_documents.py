"""The documents of files: windows, columns that come back, ids, and rows that cannot be read."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from chainrule.corpus.documents import Documents, Ids
from chainrule.corpus.sources import find_files, survey
from chainrule.errors import InputError
from chainrule.files.columns import Columns
from chainrule.files.reading import Layout
from chainrule.files.rows import Row


def documents(files, text=None, id=None, **options):
    notes = []
    found = Documents([str(file) for file in files], Layout(), Columns(text=text, id=id), say=notes.append, **options)
    return found, notes


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_windows_are_consecutive_rows_over_files(tmp_path):
    a = write_lines(tmp_path / "a.jsonl", [{"text": f"a{i}"} for i in range(1500)])
    b = tmp_path / "b.txt"
    b.write_text("".join(f"b{i}\n" for i in range(1100)))
    found, _ = documents([a, b])
    windows = list(found.windows(1000))
    assert [len(window) for window in windows] == [1024, 476 + 1024, 76]
    assert [window.number for window in windows] == [0, 1, 2]
    texts = [text for window in windows for text in window.texts]
    assert texts == [f"a{i}" for i in range(1500)] + [f"b{i}" for i in range(1100)]
    places = [place for window in windows for place in zip(window.files, window.rows, strict=True)]
    assert places == [(str(a), i) for i in range(1500)] + [(str(b), i) for i in range(1100)]


def test_limit(tmp_path):
    a = write_lines(tmp_path / "a.jsonl", [{"text": str(i)} for i in range(3000)])
    for limit in (1, 1024, 1025, 2999, 3000, 9999):
        found, _ = documents([a, a], limit=limit)
        assert sum(map(len, found.windows(1000))) == min(limit, 6000)


def test_rows_that_cannot_be_read_are_documents_with_a_reason(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "good", "n": 1}\n{"text": "\xff", "n": 2}\nnot json\n{"text": "", "n": 4}\n{"n": 5}\n')
    found, _ = documents([path], keep=("n",))
    [window] = found.windows()
    assert window.texts == ["good", None, None, None, None]
    assert [bool(error) for error in window.errors] == [False, True, True, True, True]
    for error, words in zip(window.errors[1:], ("0xff", "not valid JSON", "is empty", "no column 'text'"), strict=True):
        assert words in error
        assert "of " + str(path) in error
    part = window.part("part", [0, 3])
    assert part.kept.to_pydict() == {"n": [1, 4]}
    assert window.part("part", [0, 1, 2, 3, 4]).kept["n"].to_pylist() == [1, None, None, 4, None]


def test_kept_columns_have_one_type_in_all_files(tmp_path):
    a = write_lines(tmp_path / "a.jsonl", [{"text": "x", "n": 1, "tags": ["u"]}, {"text": "y"}])
    pa.parquet.write_table(pa.table({"text": ["z"], "n": pa.array([7], pa.int64()), "b": [b"\x00"]}), tmp_path / "b.parquet")
    found, _ = documents([a, tmp_path / "b.parquet"], keep=None)
    assert {field.name: str(field.type) for field in found.kept.schema} == {
        "text": "string", "n": "int64", "b": "binary", "tags": "list<item: string>",
    }  # fmt: skip
    [window] = found.windows()
    assert window.part("", range(3)).kept.to_pylist() == [
        {"text": "x", "n": 1, "b": None, "tags": ["u"]},
        {"text": "y", "n": None, "b": None, "tags": None},
        {"text": "z", "n": 7, "b": b"\x00", "tags": None},
    ]
    pa.parquet.write_table(pa.table({"text": ["z"], "n": ["7"]}), tmp_path / "c.parquet")
    with pytest.raises(InputError, match=r"the column 'n' is string in .*c.parquet and int64 in the JSON files"):
        documents([a, tmp_path / "c.parquet"], keep=("n",))
    with pytest.raises(InputError, match="there is no column 'm'"):
        documents([a], keep=("m",))
    with pytest.raises(InputError, match=r"b.parquet: there is no column 'tags'"):
        documents([a, tmp_path / "b.parquet"], keep=("tags",))


def test_text_column_is_found_or_asked_for(tmp_path):
    a = write_lines(tmp_path / "a.jsonl", [{"body": "some words", "n": 1}])
    found, notes = documents([a])
    assert next(found.windows()).texts == ["some words"]
    assert notes == [f"{a}: the texts are taken from the column 'body' (--text-column)"]
    found, notes = documents([write_lines(tmp_path / "b.jsonl", [{"meta": {"t": "deep"}, "x": "y z"}])], text="meta.t")
    assert (next(found.windows()).texts, notes) == (["deep"], [])


def test_a_damaged_end_is_an_error_after_the_documents_before_it(tmp_path):
    import gzip

    raw = gzip.compress("".join(f"{i} {'x' * 50}\n" for i in range(5000)).encode())
    path = tmp_path / "a.txt.gz"
    path.write_bytes(raw[: len(raw) // 2])
    found, _ = documents([path])
    windows = found.windows()
    first = next(windows)
    assert 0 < len(first) < 5000
    with pytest.raises(InputError, match="truncated"):
        next(windows)


def test_ids_that_are_missing_or_repeated_are_counted():
    ids = Ids("id")
    rows = [Row(f"row {i}") for i in range(6)]
    ids.add(["a", "b", "a", None, "c", "d"], rows, strict=False)
    ids.add(["e", "b"], rows[:2], strict=False)
    ids.add(["a", "f"], rows[:2], strict=False)
    assert (ids.missing, ids.repeated) == (1, 3)
    assert ids.notes() == [
        "1 row without a value in the column 'id' (--id), first row 3",
        "3 rows with a value in the column 'id' (--id) that an earlier row has, first row 2: a",
    ]
    with pytest.raises(InputError, match="that an earlier row has, first row 0: a"):
        Ids("id").add(["a", "a"], [rows[0], rows[0]], strict=True)
    assert Ids("id").notes() == []


def test_ids_of_many_blocks_agree_with_a_set():
    import random

    rng, ids, seen, repeated = random.Random(1), Ids("id"), set(), 0
    for _ in range(60):
        block = [str(rng.randrange(20_000)) for _ in range(rng.randrange(1, 300))]
        for each in block:
            repeated += each in seen
            seen.add(each)
        ids.add(block, [Row("")] * len(block), strict=False)
    assert ids.repeated == repeated > 0
    assert sum(map(len, ids._seen)) < 3 * len(seen)
    assert len(ids._seen) < 12


def test_files_are_hashed_and_their_rows_counted(tmp_path):
    import gzip
    from hashlib import blake2b

    (tmp_path / "a.csv").write_text("text,n\nx,1\ny,2\n")
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(b"1\n2\n3\n"))
    pa.parquet.write_table(pa.table({"text": ["z"] * 5}), tmp_path / "c.parquet")
    (tmp_path / "d.json").write_text('["x"]')
    files, notes = find_files([str(tmp_path)], Layout())
    assert notes == [f"{tmp_path}: 4 files"]
    found = survey(files, Layout())
    assert [file.rows for file in found] == [2, 3, 5, None]
    for file in found:
        raw = Path(file.name).read_bytes()
        assert (file.size, file.blake2) == (len(raw), blake2b(raw, digest_size=32).hexdigest())


@pytest.mark.parametrize(
    ("inputs", "words"),
    [(["-"], "can be read only once"), (["a.txt", "a.txt"], "a.txt is given twice"), ([], "nothing to score"),
     (["none.txt"], "cannot read none.txt: No such file"), (["*.csv"], "no file matches"),
     (["a.xyz"], "cannot infer the format")],
)  # fmt: skip
def test_inputs_that_cannot_be_used(tmp_path, monkeypatch, inputs, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("x\n")
    (tmp_path / "a.xyz").write_text("x\n")
    with pytest.raises(InputError, match=words):
        find_files(inputs, Layout())


def test_columns_of_parquet_that_are_not_used_are_not_read(tmp_path):
    table = pa.table({"text": ["x"], "id": ["a"], "n": [1], "vector": [[0.5] * 100]})
    pa.parquet.write_table(table, tmp_path / "a.parquet")
    found, _ = documents([tmp_path / "a.parquet"], id="id", keep=("n",))
    assert [list(block.names) for block in found.blocks(*found.files, found._needed(*found.files))] == [["text", "id", "n"]]
    assert next(found.windows()).part("", [0]).kept.to_pylist() == [{"id": "a", "n": 1}]
    found, _ = documents([tmp_path / "a.parquet"], keep=None)
    assert next(found.windows()).part("", [0]).kept.schema.names == ["text", "id", "n", "vector"]
