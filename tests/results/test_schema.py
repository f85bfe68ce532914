"""The table of columns: values computed for a batch equal those of each score, and new columns appear everywhere."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
import text_zoo
from hypothesis import given
from hypothesis import strategies as st
from unicode_texts import PLAIN_TEXTS

from chainrule import LanguageModel, Scores, TableModel
from chainrule.results import column_reference, schema
from chainrule.results.columns import Column, Row
from chainrule.results.rows import Source
from chainrule.text.spans import char_spans, distinct

ZOO = text_zoo.LOSSLESS | text_zoo.LOSSY
TEXTS = ["The quick brown fox", "naïve  café 🎉", "a b", "日本語のテキスト", "Hello ☃ WORLD", "the cat sat", "e\u0301"]


def per_token(scores: Scores) -> dict[str, list[Any]]:
    """The columns of tokens, computed one score at a time."""
    rows = [
        {
            "index": number,
            "place": i,
            "token": score.tokens[i],
            "id": score.ids[i],
            "logprob": score.logprobs[i],
            "context": score.contexts[i],
            "rank": score.ranks[i],
            "begin": score.spans.char_spans[i][0] if score.spans else None,
            "stop": score.spans.char_spans[i][1] if score.spans else None,
            "start": score.start.policy,
            "start_id": score.start.id,
            "end_id": score.end,
            "kind": score.kind,
            "top": [token for token, _ in score.top(i)],
            "top_logprob": [logprob for _, logprob in score.top(i)],
        }
        for number, score in enumerate(scores)
        for i in range(len(score))
    ]
    return {name: [row[name] for row in rows] for name in rows[0]}


def with_tokenizer(tiny: LanguageModel, name: str) -> LanguageModel:
    """The tiny model with another tokenizer. It scores any ids below its size; the values do not matter."""
    return LanguageModel(tiny.model, ZOO[name](), engine=tiny.engine)


def ids_below(lm: LanguageModel, texts: list[str]) -> list[str]:
    return [text for text in texts if lm.tokenizer.encode(text).max(initial=lm.model.head.size) <= lm.model.head.size]


@pytest.mark.filterwarnings("ignore:the tokens begin with the start symbol")
@pytest.mark.parametrize("name", ["byte_level", "llama", "unigram", "wordpiece", "word_end", "t5"])
@pytest.mark.parametrize("options", [{}, {"end": 7}, {"start": "given", "end": 7}, {"context": "Hello "}], ids=str)
def test_columns_are_the_values_of_each_score(tiny: LanguageModel, name: str, options: dict[str, Any]):
    lm = with_tokenizer(tiny, name)
    scores = lm.score_batch(
        [*ids_below(lm, TEXTS), [3, 4, 5]] if "context" not in options else ids_below(lm, TEXTS), top=2, **options
    )
    tokens = scores.to_arrow("token").to_pydict()
    for column, values in per_token(scores).items():
        assert tokens[column] == values, column
    sequences = scores.to_arrow().to_pydict()
    for column in ("text", "logprob", "bits", "perplexity", "bytes", "bits_per_byte", "kind", "boundary", "windows"):
        assert sequences[column] == [getattr(score, column) for score in scores], column


def test_pairs_have_neither_spans_nor_one_text(tiny: LanguageModel):
    scores = with_tokenizer(tiny, "wordpiece").score_batch([("a", "b"), "the cat"], end=7)
    columns = scores.to_arrow("token").to_pydict()
    assert columns["begin"] == per_token_begin(scores)
    assert scores.to_arrow()["bytes"].to_pylist() == [score.bytes for score in scores]


def per_token_begin(scores: Scores) -> list[int | None]:
    return [score.spans.char_spans[i][0] if score.spans else None for score in scores for i in range(len(score))]


@pytest.mark.parametrize("name", ZOO)
@given(texts=st.lists(PLAIN_TEXTS, max_size=5))
def test_spans_of_many_texts_are_those_of_each(name: str, texts: list[str]):
    tokenizer = ZOO[name]()
    ids = tokenizer.encode_batch(texts)
    begin, stop = char_spans(tokenizer, texts, ids)
    expected = [span for text, own in zip(texts, ids, strict=True) for span in tokenizer.spans(text, own).char_spans]
    assert list(zip(begin.tolist(), stop.tolist(), strict=True)) == expected


@given(st.lists(st.integers(0, 50)))
def test_distinct_agrees_with_numpy_unique(numbers: list[int]):
    ids = np.array(numbers, np.int64)
    values, indices = distinct(ids)
    unique, inverse = np.unique(ids, return_inverse=True)
    assert (values.tolist(), indices.tolist()) == (unique.tolist(), inverse.tolist())


# The table of columns


@pytest.mark.parametrize("column", schema.COLUMNS, ids=lambda column: column.name)
def test_the_name_of_a_column_says_its_unit(column: Column):
    parts = set(column.name.split("_"))
    assert bool(parts & {"logprob", "logprobs", "nats"}) == (column.unit in ("nats", "nats²"))
    assert ({"logprob", "variance"} <= parts) == (column.unit == "nats²")
    assert ("bits" in parts) == (column.unit in ("bits", "bits/byte"))
    assert not parts & {"entropy", "surprisal", "pll"} or column.unit in ("bits", "nats")


@pytest.fixture(scope="module")
def letters() -> LanguageModel:
    return LanguageModel(TableModel("AB", {"": [0.6, 0.4], "A": [0.7, 0.3]}, probabilities=True, back_off=True))


def at_once_and_each(row: Row, results: Any) -> dict[str, list[pyarrow.Array]]:
    """The columns that are computed for a batch at once, and the same columns computed for each result."""
    columns = [column for column in schema.columns(row) if column.batch is not None]
    assert columns
    return {column.name: [Source(row, results, batch=batch).array(column) for batch in (True, False)] for column in columns}


@pytest.mark.parametrize("options", [{}, {"order": "random"}, {"context": "AB"}, {"window": 2}, {"start": "given"}], ids=str)
def test_values_for_a_batch_are_those_of_each_score(letters: LanguageModel, options: dict[str, Any]):
    scores = letters.score_batch(["ABBA", "BA", "ABB"], top=2, **options)
    for row in [Row.SEQUENCE, Row.TOKEN, Row.SEQUENCE_OF_TOKEN, Row.TOP, *([Row.ORDERED_TOKEN] if "order" in options else [])]:
        for name, (at_once, each) in at_once_and_each(row, scores).items():
            assert at_once.equals(each), name


def test_values_for_mixtures_are_those_of_each(letters: LanguageModel):
    mixtures = letters.score_batch(["ABBA", "B"], order="random:2")
    for name, (at_once, each) in at_once_and_each(Row.TEXT, mixtures).items():
        assert at_once.equals(each), name


def test_every_kind_of_row_is_in_the_reference():
    listed = [row for rows in column_reference._SECTIONS.values() for row in rows]
    assert sorted(row.name for row in listed) == sorted(row.name for row in Row)
    assert {row for column in schema.COLUMNS for row in column.rows} == set(Row)


@pytest.mark.parametrize("row", Row)
def test_the_columns_of_a_row_have_distinct_names(row: Row):
    names = [column.name for column in schema.columns(row)]
    assert len(names) == len(set(names))


def add_column(monkeypatch: pytest.MonkeyPatch, *rows: Row, of: Any) -> Column:
    """Add a column at the end."""
    column = Column("extra", "int32", "the meaning of an extra column", rows, "letters", of)
    monkeypatch.setattr(schema, "COLUMNS", (*schema.COLUMNS, column))
    return column


@pytest.mark.parametrize("row", [Row.SEQUENCE, Row.TEXT], ids=str)
def test_a_new_column_is_in_tables_and_files(letters: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, row: Row):
    add_column(monkeypatch, row, of=lambda result: len(result.text))
    scores = letters.score_batch(["ABBA", "B"], order="random:2" if row is Row.TEXT else None)
    table = scores.to_arrow()
    assert (str(table.schema.field("extra").type), table["extra"].to_pylist()) == ("int32", [4, 1])
    assert [item["extra"] for item in scores.to_dicts()] == [4, 1]
    scores.to_csv(str(tmp_path / "s.csv"))
    assert [line["extra"] for line in csv.DictReader((tmp_path / "s.csv").open(encoding="utf-8"))] == ["4", "1"]
    scores.write(str(tmp_path / "s.jsonl"))
    assert [json.loads(line)["extra"] for line in (tmp_path / "s.jsonl").read_text().splitlines()] == [4, 1]
    assert [item["extra"] for item in json.loads(scores.to_json())] == [4, 1]


def test_a_new_column_is_in_dictionaries(letters: LanguageModel, monkeypatch: pytest.MonkeyPatch):
    results = {
        Row.SEQUENCE: letters.score("ABBA"),
        Row.TEXT: letters.score("ABBA", order="random:2"),
        Row.PSEUDO: letters.pseudo_log_likelihood("ABBA"),
        Row.GENERATION: letters.generate(max_tokens=4),
    }
    for row, result in results.items():
        with monkeypatch.context() as patch:
            add_column(patch, row, of=lambda result: len(result.text))
            assert result.to_dict()["extra"] == 4, row
            assert ("extra" in result.summary()) == (row is not Row.GENERATION)  # a summary is that of the score
        assert "extra" not in result.to_dict()


def test_a_new_column_of_tokens(letters: LanguageModel, monkeypatch: pytest.MonkeyPatch):
    add_column(monkeypatch, Row.TOKEN, Row.FACTOR, Row.TERM, of=lambda result: [10 * int(id) for id in result.ids])
    scores = letters.score_batch(["AB", "BBA"])
    assert str(scores.to_arrow("token").schema.field("extra").type) == "int32"
    assert scores.to_arrow("token")["extra"].to_pylist() == [0, 10, 10, 10, 0]
    assert [factor["extra"] for factor in scores[1].to_dict()["factors"]] == [10, 10, 0]
    assert [term["extra"] for term in letters.pseudo_log_likelihood("AB").to_dict()["terms"]] == [0, 10]


@pytest.mark.parametrize(
    ("arguments", "row"),
    [
        (["score", "ab c", "d"], Row.SEQUENCE),
        (["rank", "Hello", "ab c", "d"], Row.CANDIDATE),
        (["generate", "Hello", "--among", "ab c", "--among", "d", "--n", "2", "--method", "best"], Row.GENERATED),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_new_column_is_in_the_output_of_the_command_line(
    command, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], row: Row
):
    add_column(monkeypatch, row, Row.GENERATION, of=lambda result: len(result.text))
    code, out, err = command(*arguments, "--model", str(tiny_folder))
    assert code == 0, err
    lines = list(csv.DictReader(io.StringIO(out)))
    assert sorted(line["extra"] for line in lines) == ["1", "4"]
    assert list(lines[0])[-1] == "extra"
    _, out, _ = command(*arguments, "--json", "--model", str(tiny_folder))
    assert out.count('"extra": 4') == out.count('"extra": 1') == 1


def test_a_new_column_is_in_the_reference(monkeypatch: pytest.MonkeyPatch):
    add_column(monkeypatch, Row.TOKEN, of=len)
    assert "| `extra` | int32 | letters | the meaning of an extra column |" in column_reference.reference()
    assert schema.unit(Row.TOKEN, "extra") == "letters"
