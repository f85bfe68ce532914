"""Scores as tables, and tables as files."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path

import numpy as np
import pandas
import polars
import pyarrow
import pyarrow.parquet
import pytest
from text_zoo import wordpiece

from chainrule import InputError, LanguageModel, Scores, TableModel
from chainrule.files import row_text, writing

TEXTS = ["The quick brown fox", 'commas, "quotes"', "line\nfeed", "car\rriage", "both\r\n", "naïve café 🎉", "a", "=1+1"]


@pytest.fixture(scope="module")
def scores(tiny: LanguageModel) -> Scores:
    return tiny.score_batch(TEXTS, context=[None, "Hello", "Th", *[None] * 5], end=True)


@pytest.fixture(scope="module")
def impossible() -> Scores:
    rows = {"": [0.5, 0, 0.5]}
    return LanguageModel(TableModel("ABC", rows, probabilities=True, back_off=True)).score_batch(["AC", "AB", "BB"])


def test_one_row_per_sequence(scores: Scores):
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


def test_one_row_per_token(scores: Scores):
    table = scores.to_arrow("token")
    assert table.num_rows == scores.tokens.sum()
    columns = table.to_pydict()
    assert columns["token"] == [token for score in scores for token in score.tokens]
    assert columns["index"] == [i for i, score in enumerate(scores) for _ in score.ids]
    assert columns["place"] == [i for score in scores for i in range(len(score))]
    assert columns["id"] == scores.ids.tolist()
    for name, column in (
        ("logprob", "logprobs"),
        ("context", "contexts"),
        ("rank", "ranks"),
        ("entropy_bits", "entropies_bits"),
    ):
        assert columns[name] == getattr(scores, column).tolist()
    assert columns["surprisal_bits"] == pytest.approx((-scores.logprobs / math.log(2)).tolist(), rel=1e-15)
    spans = [span for score in scores for span in score.spans.char_spans]
    assert list(zip(columns["begin"], columns["stop"], strict=True)) == spans


@pytest.mark.parametrize("per", ["sequence", "token"])
def test_start_and_end_policy_are_in_every_row(tiny: LanguageModel, per: str):
    lm = LanguageModel(tiny.model, wordpiece(), engine=tiny.engine)
    table = lm.score_batch(["a b", ("a", "b")], start="given", end=7).to_arrow(per).to_pydict()
    rows = list(zip(table["index"], table["start"], table["start_id"], table["end_id"], table["kind"], strict=True))
    assert set(rows) == {(0, "given", None, 7, "conditional"), (1, "cls", lm.tokenizer.cls_id, 7, "joint")}
    table = tiny.score_batch(["hello", "there"]).to_arrow(per).to_pydict()
    assert (set(table["start"]), set(table["start_id"]), set(table["end_id"])) == ({"bos"}, {0}, {None})


def test_alternatives_are_columns_with_top(tiny: LanguageModel):
    scores = tiny.score_batch(TEXTS[:2], top=3)
    columns = scores.to_arrow("token").to_pydict()
    expected = [score.top(i) for score in scores for i in range(len(score))]
    assert [list(zip(*pair, strict=True)) for pair in zip(columns["top"], columns["top_logprob"], strict=True)] == expected
    assert "top" not in tiny.score_batch(TEXTS[:2]).to_arrow("token").column_names


def test_ids_have_neither_text_nor_spans(tiny: LanguageModel):
    scores = tiny.score_batch([[5, 6], [7]])
    assert scores.to_arrow()["text"].to_pylist() == [None, None]
    assert scores.to_arrow("token")["begin"].to_pylist() == [None] * 3


@pytest.mark.parametrize("per", ["sequence", "token"])
def test_an_empty_batch_is_a_table_without_rows(tiny: LanguageModel, scores: Scores, per: str):
    table = tiny.score_batch([]).to_arrow(per)
    assert table.num_rows == 0
    assert table.schema == scores.to_arrow(per).schema


def test_an_unknown_kind_of_row(scores: Scores):
    with pytest.raises(InputError, match="per must be one of 'sequence', 'token', not 'line'"):
        scores.to_arrow("line")


# Other libraries


def test_arrow_stream_into_pyarrow_polars_and_pandas(scores: Scores):
    expected = scores.logprob.tolist()
    assert pyarrow.table(scores)["logprob"].to_pylist() == expected
    assert pyarrow.RecordBatchReader.from_stream(scores).read_all().equals(scores.to_arrow())
    assert polars.DataFrame(scores)["logprob"].to_list() == expected
    assert pandas.DataFrame.from_arrow(scores)["logprob"].tolist() == expected


@pytest.mark.parametrize("per", ["sequence", "token"])
def test_frames(scores: Scores, per: str):
    expected = scores.to_arrow(per)
    assert scores.to_polars(per).to_arrow().to_pydict() == expected.to_pydict()
    assert scores.to_pandas(per).columns.tolist() == expected.column_names
    assert scores.to_pandas(per)["logprob"].tolist() == expected["logprob"].to_pylist()
    assert scores.to_dicts(per) == expected.to_pylist()


# Files


@pytest.mark.parametrize("per", ["sequence", "token"])
def test_csv_and_back(scores: Scores, tmp_path: Path, per: str):
    scores.write(tmp_path / "s.csv", per)
    raw = (tmp_path / "s.csv").read_bytes()
    rows = list(csv.DictReader(io.StringIO(raw.decode("utf-8"), newline="")))
    expected = scores.to_dicts(per)
    key = "text" if per == "sequence" else "token"
    assert [row[key] for row in rows] == [row[key] for row in expected]
    assert [float(row["logprob"]) for row in rows] == [row["logprob"] for row in expected]  # the same bits
    assert polars.read_csv(tmp_path / "s.csv")[key].to_list() == [row[key] for row in expected]
    assert raw.count(b"\r\n") == raw.count(b"both\r\n")  # lines end with \n


def test_none_is_empty_in_csv(scores: Scores):
    stream = io.StringIO()
    row_text.write_csv(scores.to_arrow(), stream, header=True)
    row_text.write_csv(scores.to_arrow(), stream, header=False)
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
    items = json.loads(impossible.to_json(), parse_constant=pytest.fail)  # strict JSON has no -Infinity
    assert [row["logprob"] for row in items] == [impossible[0].logprob, "-Infinity", "-Infinity"]
    assert items[1]["perplexity"] == items[1]["bits"] == "Infinity"
    assert items[1]["factors"][1]["logprob"] == "-Infinity"
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
    text = row_text.json_text({"a": [math.inf, -math.inf, math.nan, 1.5, (None, "é")]})
    assert text == '{"a": ["Infinity", "-Infinity", "NaN", 1.5, [null, "é"]]}'


def test_json_of_a_score_has_every_factor(tiny: LanguageModel):
    score = tiny.score(TEXTS[5], top=2, end=True)
    (item,) = json.loads(tiny.score_batch([TEXTS[5]], top=2, end=True).to_json())
    assert (item["text"], item["logprob"], item["start"], item["end_id"]) == (TEXTS[5], score.logprob, "bos", 1)
    assert math.fsum(f["logprob"] for f in item["factors"]) == score.logprob
    assert [f["token"] for f in item["factors"]] == score.tokens
    assert [tuple(f["span"]) for f in item["factors"]] == score.spans.char_spans
    assert [len(f["top"]) for f in item["factors"]] == [2] * len(score)


def test_json_of_a_pair_has_its_segments(tiny: LanguageModel):
    lm = LanguageModel(tiny.model, wordpiece(), engine=tiny.engine)
    score = lm.score(("a", "b"))
    assert score.to_dict()["segment_logprobs"] == score.segment_logprobs
    assert "segment_logprobs" not in lm.score("a b").to_dict()


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
