"""Files that cannot be written, and files that are replaced."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from chainrule import InputError, LanguageModel, OutputError, Scores
from chainrule.files import writing


@pytest.fixture(scope="module")
def scores(tiny: LanguageModel) -> Scores:
    return tiny.score_batch(["The quick brown fox", "a"])


@pytest.mark.parametrize("name", ["no/such/folder/s.csv", "file.txt/s.csv"])
def test_a_path_that_cannot_be_written(scores: Scores, tmp_path: Path, name: str):
    (tmp_path / "file.txt").write_text("kept")
    with pytest.raises(OutputError, match=r"cannot write .*s\.csv: (No such file|Not a directory)"):
        scores.write(tmp_path / name)
    assert [p.name for p in tmp_path.iterdir()] == ["file.txt"]


def test_a_folder_is_not_a_file(scores: Scores, tmp_path: Path):
    (tmp_path / "s.csv").mkdir()
    with pytest.raises(OutputError, match="directory"):
        scores.write(tmp_path / "s.csv")
    with pytest.raises(OutputError, match="directory"):
        scores.to_csv(tmp_path / "s.csv")
    assert [p.name for p in tmp_path.iterdir()] == ["s.csv"]


def test_a_name_without_a_format(scores: Scores, tmp_path: Path):
    with pytest.raises(OutputError, match=r"format of .*s\.txt.*\.csv, \.jsonl or \.parquet"):
        scores.write(tmp_path / "s.txt")
    scores.to_csv(tmp_path / "s.txt")
    assert (tmp_path / "s.txt").read_text(encoding="utf-8").startswith("index,text")


def interrupted(path: Path, scores: Scores) -> None:
    with writing.Writer(path) as writer:
        writer.write(scores.to_arrow())
        raise KeyboardInterrupt


def test_a_file_is_replaced_completely_or_not_at_all(scores: Scores, tmp_path: Path):
    path = tmp_path / "s.csv"
    path.write_text("before")
    with pytest.raises(InputError):
        scores.write(path, per="line")
    with pytest.raises(KeyboardInterrupt):
        interrupted(path, scores)
    assert path.read_text() == "before"
    scores.write(path)
    assert path.read_text().startswith("index,text")
    assert os.listdir(tmp_path) == ["s.csv"]


@pytest.mark.parametrize("name", ["s.csv", "s.jsonl"])
def test_a_full_disk(scores: Scores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str):
    """/dev/full rejects all writes. The error comes when the buffer is written, which may be at the end."""
    if not Path("/dev/full").is_char_device():
        pytest.skip("no /dev/full")
    path = tmp_path / name
    path.write_text("before")
    open_file = writing._OPEN[path.suffix[1:]]
    monkeypatch.setitem(writing._OPEN, path.suffix[1:], lambda _, schema: open_file("/dev/full", schema))
    with pytest.raises(OutputError, match=r"cannot write .*No space left"):
        scores.write(path)
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == [name]


def test_a_pipe_is_written_to_and_not_replaced(scores: Scores, tmp_path: Path):
    pipe = tmp_path / "s.csv"
    os.mkfifo(pipe)
    texts: list[str] = []
    reader = threading.Thread(target=lambda: texts.append(pipe.read_text(encoding="utf-8")), daemon=True)
    reader.start()
    scores.write(pipe)
    reader.join(10)
    assert texts[0].startswith("index,text")
    assert pipe.is_fifo()
    assert os.listdir(tmp_path) == ["s.csv"]


def test_a_link_remains_a_link(scores: Scores, tmp_path: Path):
    (tmp_path / "real.csv").write_text("before")
    (tmp_path / "s.csv").symlink_to(tmp_path / "real.csv")
    scores.write(tmp_path / "s.csv")
    assert (tmp_path / "s.csv").is_symlink()
    assert (tmp_path / "real.csv").read_text(encoding="utf-8").startswith("index,text")
