"""Scores as tables, and tables as files."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import threading
from pathlib import Path

import numpy as np
import pandas
import polars
import pyarrow
import pyarrow.parquet
import pytest
from text_zoo import wordpiece

from chainrule import InputError, LanguageModel, OutputError, Scores, TableModel
from chainrule.files import writing

TEXTS = ["The quick brown fox", 'commas, "quotes"', "line\nfeed", "car\rriage", "both\r\n", "naïve café 🎉", "a", "=1+1"]


@pytest.fixture(scope="module")
def scores(tiny: LanguageModel) -> Scores:
    return tiny.score_batch(TEXTS, context=[None, "Hello", "Th", *[None] * 5], end=True)


@pytest.fixture(scope="module")
def impossible() -> Scores:
    rows = {"": [0.5, 0, 0.5]}
    return LanguageModel(TableModel("ABC", rows, probabilities=True, back_off=True)).score_batch(["AC", "AB", "BB"])


def test_one_row_a_sequence(scores: Scores):
    table = scores.to_arrow()
    assert table.num_rows == len(scores)
    for name in ("text", "logprob", "bits", "perplexity", "bytes", "bits_per_byte", "kind", "boundary", "windows", "model"):
        assert table[name].to_pylist() == [getattr(score, name) for score in scores]
    assert table["index"].to_pylist() == list(range(len(scores)))
    assert table["tokens"].to_pylist() == [len(score) for score in scores]
    assert table["context_text"].to_pylist() == [None, "Hello", "Th", *[None] * 5]
    assert table["boundary"].to_pylist() == [None, "same", "same", *[None] * 5]


def test_boundary_is_written(tiny: LanguageModel):
    both = tiny.score_batch([" quick", "e quick", "a"], context=["The", "Th", None])
    assert both.to_arrow()["boundary"].to_pylist() == [score.boundary for score in both] == ["same", "apart", None]
    assert [row["boundary"] for row in json.loads(both.to_json())] == ["same", "apart", None]


def test_one_row_a_token(scores: Scores):
    table = scores.to_arrow("token")
    assert table.num_rows == scores.tokens.sum()
    columns = table.to_pydict()
    assert columns["token"] == [token for score in scores for token in score.tokens]
    assert columns["index"] == [i for i, score in enumerate(scores) for _ in score.ids]
    assert columns["place"] == [place for score in scores for place in range(len(score))]
    assert columns["id"] == scores.ids.tolist()
    for name, column in (("logprob", "logprobs"), ("context", "contexts"), ("rank", "ranks"), ("entropy", "entropies")):
        assert columns[name] == getattr(scores, column).tolist()
    assert columns["surprisal_bits"] == pytest.approx((-scores.logprobs / math.log(2)).tolist(), rel=1e-15)
    spans = [span for score in scores for span in score.spans.char_spans]
    assert list(zip(columns["begin"], columns["stop"], strict=True)) == spans


@pytest.mark.parametrize("per", ["sequence", "token"])
def test_start_and_end_policy_stand_in_every_row(tiny: LanguageModel, per: str):
    wordy = LanguageModel(tiny.model, wordpiece(), engine=tiny.engine)
    table = wordy.score_batch(["a b", ("a", "b")], start="given", end=7).to_arrow(per).to_pydict()
    rows = list(zip(table["index"], table["start"], table["start_id"], table["end_id"], table["kind"], strict=True))
    assert set(rows) == {(0, "given", None, 7, "conditional"), (1, "cls", wordy.tokenizer.cls_id, 7, "joint")}
    table = tiny.score_batch(["hello", "there"]).to_arrow(per).to_pydict()
    assert (set(table["start"]), set(table["start_id"]), set(table["end_id"])) == ({"bos"}, {0}, {None})


def test_alternatives_are_columns_where_they_were_asked_for(tiny: LanguageModel):
    scores = tiny.score_batch(TEXTS[:2], top=3)
    columns = scores.to_arrow("token").to_pydict()
    want = [score.top(i) for score in scores for i in range(len(score))]
    assert [list(zip(*pair, strict=True)) for pair in zip(columns["top"], columns["top_logprob"], strict=True)] == want
    assert "top" not in tiny.score_batch(TEXTS[:2]).to_arrow("token").column_names


def test_ids_have_neither_text_nor_spans(tiny: LanguageModel):
    scores = tiny.score_batch([[5, 6], [7]])
    assert scores.to_arrow()["text"].to_pylist() == [None, None]
    assert scores.to_arrow("token")["begin"].to_pylist() == [None] * 3


@pytest.mark.parametrize("per", ["sequence", "token"])
def test_no_scores_are_a_table_of_no_rows(tiny: LanguageModel, scores: Scores, per: str):
    none = tiny.score_batch([]).to_arrow(per)
    assert none.num_rows == 0
    assert none.schema == scores.to_arrow(per).schema


def test_what_is_no_kind_of_row(scores: Scores):
    with pytest.raises(InputError, match="per must be one of 'sequence', 'token', not 'line'"):
        scores.to_arrow("line")


# Handed to others


def test_arrow_stream_into_pyarrow_polars_and_pandas(scores: Scores):
    want = scores.logprob.tolist()
    assert pyarrow.table(scores)["logprob"].to_pylist() == want
    assert pyarrow.RecordBatchReader.from_stream(scores).read_all().equals(scores.to_arrow())
    assert polars.DataFrame(scores)["logprob"].to_list() == want
    assert pandas.DataFrame.from_arrow(scores)["logprob"].tolist() == want


@pytest.mark.parametrize("per", ["sequence", "token"])
def test_frames(scores: Scores, per: str):
    want = scores.to_arrow(per)
    assert scores.to_polars(per).to_arrow().to_pydict() == want.to_pydict()
    assert scores.to_pandas(per).columns.tolist() == want.column_names
    assert scores.to_pandas(per)["logprob"].tolist() == want["logprob"].to_pylist()
    assert scores.to_dicts(per) == want.to_pylist()


# Files


@pytest.mark.parametrize("per", ["sequence", "token"])
def test_csv_and_back(scores: Scores, tmp_path: Path, per: str):
    scores.write(tmp_path / "s.csv", per)
    raw = (tmp_path / "s.csv").read_bytes()
    rows = list(csv.DictReader(io.StringIO(raw.decode("utf-8"), newline="")))
    want = scores.to_dicts(per)
    key = "text" if per == "sequence" else "token"
    assert [row[key] for row in rows] == [row[key] for row in want]
    assert [float(row["logprob"]) for row in rows] == [row["logprob"] for row in want]  # to the bit
    assert polars.read_csv(tmp_path / "s.csv")[key].to_list() == [row[key] for row in want]
    assert raw.count(b"\r\n") == raw.count(b"both\r\n")  # lines end by \n alone


def test_none_is_empty_in_csv(scores: Scores):
    stream = io.StringIO()
    writing.write_csv(scores.to_arrow(), stream, header=True)
    writing.write_csv(scores.to_arrow(), stream, header=False)
    rows = list(csv.DictReader(io.StringIO(stream.getvalue(), newline="")))
    assert len(rows) == 2 * len(scores)
    assert rows[0]["context_text"] == rows[0]["boundary"] == ""


@pytest.mark.parametrize("name", ["s.jsonl", "s.ndjson"])
@pytest.mark.parametrize("per", ["sequence", "token"])
def test_json_lines_and_back(scores: Scores, tmp_path: Path, name: str, per: str):
    scores.write(tmp_path / name, per)
    lines = (tmp_path / name).read_text(encoding="utf-8").split("\n")
    assert lines.pop() == ""
    assert [json.loads(line) for line in lines] == scores.to_dicts(per)


@pytest.mark.parametrize("per", ["sequence", "token"])
def test_parquet_and_back(tiny: LanguageModel, tmp_path: Path, per: str):
    scores = tiny.score_batch(TEXTS, top=2)
    scores.write(tmp_path / "s.parquet", per)
    assert pyarrow.parquet.read_table(tmp_path / "s.parquet").equals(scores.to_arrow(per))


def test_infinities(impossible: Scores, tmp_path: Path):
    said = json.loads(impossible.to_json(), parse_constant=pytest.fail)  # strict JSON has no -Infinity
    assert [row["logprob"] for row in said] == [impossible[0].logprob, "-Infinity", "-Infinity"]
    assert said[1]["perplexity"] == said[1]["bits"] == "Infinity"
    assert said[1]["factors"][1]["logprob"] == "-Infinity"
    assert impossible[1].to_dict()["logprob"] == -math.inf
    impossible.write(tmp_path / "s.jsonl")
    line = (tmp_path / "s.jsonl").read_text().splitlines()[1]
    assert json.loads(line, parse_constant=pytest.fail)["logprob"] == "-Infinity"
    impossible.write(tmp_path / "s.csv", "token")
    logprobs = [float(row["logprob"]) for row in csv.DictReader((tmp_path / "s.csv").open())]
    assert logprobs == impossible.logprobs.tolist()
    impossible.write(tmp_path / "s.parquet")
    assert pyarrow.parquet.read_table(tmp_path / "s.parquet")["logprob"].to_pylist() == impossible.logprob.tolist()


def test_strict_json():
    said = writing.json_text({"a": [math.inf, -math.inf, math.nan, 1.5, (None, "é")]})
    assert said == '{"a": ["Infinity", "-Infinity", "NaN", 1.5, [null, "é"]]}'


def test_json_of_a_score_has_every_factor(tiny: LanguageModel):
    score = tiny.score(TEXTS[5], top=2, end=True)
    (said,) = json.loads(tiny.score_batch([TEXTS[5]], top=2, end=True).to_json())
    assert (said["text"], said["logprob"], said["start"], said["end_id"]) == (TEXTS[5], score.logprob, "bos", 1)
    assert math.fsum(f["logprob"] for f in said["factors"]) == score.logprob
    assert [f["token"] for f in said["factors"]] == score.tokens
    assert [tuple(f["span"]) for f in said["factors"]] == score.spans.char_spans
    assert [len(f["top"]) for f in said["factors"]] == [2] * len(score)


def test_json_of_a_pair_has_its_segments(tiny: LanguageModel):
    wordy = LanguageModel(tiny.model, wordpiece(), engine=tiny.engine)
    score = wordy.score(("a", "b"))
    assert score.to_dict()["segments"] == score.segments
    assert "segments" not in wordy.score("a b").to_dict()


# Files that cannot be written


@pytest.mark.parametrize("name", ["no/such/folder/s.csv", "file.txt/s.csv"])
def test_a_path_that_cannot_be_written(scores: Scores, tmp_path: Path, name: str):
    (tmp_path / "file.txt").write_text("kept")
    with pytest.raises(OutputError, match=r"cannot write .*s\.csv: (No such file|Not a directory)"):
        scores.write(tmp_path / name)
    assert [p.name for p in tmp_path.iterdir()] == ["file.txt"]


def test_a_folder_is_no_file(scores: Scores, tmp_path: Path):
    (tmp_path / "s.csv").mkdir()
    with pytest.raises(OutputError, match="directory"):
        scores.write(tmp_path / "s.csv")
    with pytest.raises(OutputError, match="directory"):
        scores.to_csv(tmp_path / "s.csv")
    assert [p.name for p in tmp_path.iterdir()] == ["s.csv"]


def test_a_name_that_says_no_format(scores: Scores, tmp_path: Path):
    with pytest.raises(OutputError, match=r"format of .*s\.txt.*\.csv, \.jsonl or \.parquet"):
        scores.write(tmp_path / "s.txt")
    scores.to_csv(tmp_path / "s.txt")
    assert (tmp_path / "s.txt").read_text(encoding="utf-8").startswith("index,text")


def interrupted(path: Path, scores: Scores) -> None:
    with writing.Writer(path) as writer:
        writer.write(scores.to_arrow())
        raise KeyboardInterrupt


def test_a_file_is_replaced_whole_or_not_at_all(scores: Scores, tmp_path: Path):
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
def test_a_disk_that_is_full(scores: Scores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str):
    """/dev/full takes nothing; it says so when the buffer is written, which may be at the end."""
    if not Path("/dev/full").is_char_device():
        pytest.skip("no /dev/full")
    path = tmp_path / name
    path.write_text("before")
    real = writing._OPEN[path.suffix[1:]]
    monkeypatch.setitem(writing._OPEN, path.suffix[1:], lambda _, schema: real("/dev/full", schema))
    with pytest.raises(OutputError, match=r"cannot write .*No space left"):
        scores.write(path)
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == [name]


def test_a_pipe_is_written_to_and_not_replaced(scores: Scores, tmp_path: Path):
    pipe = tmp_path / "s.csv"
    os.mkfifo(pipe)
    got: list[str] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_text(encoding="utf-8")), daemon=True)
    reader.start()
    scores.write(pipe)
    reader.join(10)
    assert got[0].startswith("index,text")
    assert pipe.is_fifo()
    assert os.listdir(tmp_path) == ["s.csv"]


def test_a_link_stays_a_link(scores: Scores, tmp_path: Path):
    (tmp_path / "real.csv").write_text("before")
    (tmp_path / "s.csv").symlink_to(tmp_path / "real.csv")
    scores.write(tmp_path / "s.csv")
    assert (tmp_path / "s.csv").is_symlink()
    assert (tmp_path / "real.csv").read_text(encoding="utf-8").startswith("index,text")


def test_writing_in_parts(scores: Scores, tmp_path: Path):
    table = scores.to_arrow()
    for name in ("s.csv", "s.jsonl", "s.parquet"):
        with writing.Writer(tmp_path / name) as writer:
            writer.write(table.slice(0, 3))
            assert not (tmp_path / name).exists()
            writer.write(table.slice(3))
    assert pyarrow.parquet.read_table(tmp_path / "s.parquet").equals(table)
    rows = list(csv.DictReader((tmp_path / "s.csv").open(encoding="utf-8", newline="")))
    assert [row["text"] for row in rows] == TEXTS
    assert len((tmp_path / "s.jsonl").read_text(encoding="utf-8").splitlines()) == len(TEXTS)
    assert np.isfinite([float(row["logprob"]) for row in rows]).all()


def test_alternatives_are_json_in_csv(tmp_path: Path):
    lm = LanguageModel(TableModel(["A", "B"], {"": [1, 0], "A": [0, 1]}, probabilities=False))
    lm.score_batch(["AB"], top=2).to_csv(str(tmp_path / "top.csv"), per="token")
    rows = list(csv.DictReader((tmp_path / "top.csv").open(encoding="utf-8", newline="")))
    assert json.loads(rows[0]["top"]) == ["A", "B"]
    assert json.loads(rows[1]["top"]) == ["B", "A"]
