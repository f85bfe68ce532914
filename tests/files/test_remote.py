"""Files of other file systems, by their addresses."""

from __future__ import annotations

import gzip

import fsspec
import pyarrow as pa
import pyarrow.parquet
import pytest

from chainrule.errors import InputError
from chainrule.files.found import find
from chainrule.files.opened import is_stream
from chainrule.files.reading import Layout, read_rows
from chainrule.files.remote import is_remote


@pytest.fixture
def memory():
    """A file system in memory, of fsspec, with some files."""
    system = fsspec.filesystem("memory")
    system.pipe("/shards/a.jsonl", b'{"text": "one"}\n')
    system.pipe("/shards/b.txt.gz", gzip.compress(b"two\nthree\n"))
    system.pipe("/shards/deep/c.jsonl", b'{"text": "four"}\n')
    system.pipe("/shards/_notes.txt", b"x")
    sink = pa.BufferOutputStream()
    pa.parquet.write_table(pa.table({"text": ["five"]}), sink)
    system.pipe("/shards/d.parquet", sink.getvalue().to_pybytes())
    yield system
    system.rm("/shards", recursive=True)


def texts(files):
    return [row.cells[0] for file in files for row in read_rows(file, ["text"], Layout())]


def test_files_folders_and_patterns(memory):
    assert find("memory://shards/a.jsonl", Layout()).files == ["memory://shards/a.jsonl"]
    assert find("memory://shards/", Layout()).files == find("memory://shards", Layout()).files
    folder = find("memory://shards", Layout())
    assert folder.files == [f"memory://shards/{name}" for name in ("a.jsonl", "b.txt.gz", "d.parquet")]
    assert folder.note == "memory://shards: 3 files; left out: _notes.txt"
    assert texts(folder.files) == ["one", "two", "three", "five"]
    pattern = find("memory://shards/*.jsonl", Layout())
    assert (pattern.files, pattern.note) == (["memory://shards/a.jsonl"], "memory://shards/*.jsonl: 1 file")
    both = find("memory://shards/**/*.jsonl", Layout()).files
    assert texts(both) == ["one", "four"]
    assert find("memory://shards/[ab].*", Layout()).files == [f"memory://shards/{name}" for name in ("a.jsonl", "b.txt.gz")]


def test_an_address_of_a_file_on_this_machine(tmp_path, command, tiny_folder):
    (tmp_path / "a b.txt").write_text("one\ntwo\n")
    address = (tmp_path / "a b.txt").as_uri()
    assert find(address, Layout()).files == [address]
    assert texts([address]) == ["one", "two"]
    assert not is_stream(address)
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "g.txt").write_text("four\n")
    assert texts(find((tmp_path / "c").as_uri() + "/", Layout()).files) == ["four"]
    (tmp_path / "c d").mkdir()
    (tmp_path / "c d" / "e f.txt").write_text("three\n")
    assert texts(find((tmp_path / "c d").as_uri(), Layout()).files) == ["three"]
    code, out, err = command("score", "--file", address, "--model", str(tiny_folder))
    assert (code, err) == (0, "")
    assert [line.split(",")[1] for line in out.splitlines()] == ["text", "one", "two"]


@pytest.mark.parametrize(
    ("address", "words"),
    [("memory://shards/none.txt", "there is no such file or folder"), ("memory://shards/*.csv", "no file matches"),
     ("nosuch://a/b.txt", "cannot use nosuch://a/b.txt: "), ("memory://shards/deep/none/*.txt", "no file matches")],
)  # fmt: skip
def test_addresses_that_cannot_be_used(memory, address, words):
    with pytest.raises(InputError, match=words.replace("*", r"\*")):
        find(address, Layout())


def test_paths_are_no_addresses():
    assert not any(map(is_remote, ("a.txt", "/a/b.txt", "C:/a.txt", "a:b", "C:\\x", "://x")))
    assert is_remote("s3://bucket/a.txt")
