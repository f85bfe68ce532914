"""Sections: rows whose texts share beginnings far apart are scored together, and all rows are written in order."""

from __future__ import annotations

import csv
import io
import json
import random
from itertools import islice
from pathlib import Path

import pytest

from chainrule import LanguageModel, Scores
from chainrule.cli import sections, stream
from chainrule.cli.inputs import Record
from chainrule.errors import InputError


def records(texts: list[str], contexts: list[str | None] | None = None) -> list[Record]:
    contexts = contexts or [None] * len(texts)
    return [Record(text, context, f"line {i}", i) for i, (text, context) in enumerate(zip(texts, contexts, strict=True))]


def test_distinct_characters_against_a_tree():
    draw = random.Random(1)
    texts = ["".join(draw.choices("ab\U0001f389", k=draw.randint(0, 6))) for _ in range(300)]
    assert sections.distinct([records(texts)]) == len({text[: i + 1] for text in texts for i in range(len(text))})
    assert sections.distinct([records(["ab"]), records(["ab"])]) == 4
    assert sections.distinct([records(["x", "y"], ["ctx", "ctx"])]) == len("ctx\0xy")


def test_a_window_is_scored_at_once_if_that_saves_enough(monkeypatch):
    monkeypatch.setattr(sections, "SHARD", 10)
    far_apart = records([f"the context number {i % 10} and {i}" for i in range(40)])
    assert sections.shards(far_apart) == [far_apart]
    alone = records([f"{i:03} and a text of its own" for i in range(35)])
    assert [len(part) for part in sections.shards(alone)] == [10, 10, 10, 5]
    assert sections.shards([]) == []


@pytest.mark.parametrize(("limit", "value", "sizes"), [("ROWS", 7, [7, 7, 6]), ("BYTES", -1, [5, 5, 5, 5, 0]), (None, 0, [20])])
def test_windows_are_bounded(monkeypatch, limit, value, sizes):
    monkeypatch.setattr(sections, "SHARD", 5)
    if limit:
        monkeypatch.setattr(sections, limit, value)
    found = list(sections.sections(iter(records(["text"] * 20)), sections.CHARACTERS))
    assert [len(section) for section, *_ in found] == sizes
    assert [last for *_, last in found] == [False] * (len(sizes) - 1) + [True]


def test_a_section_has_about_as_many_characters(monkeypatch):
    monkeypatch.setattr(sections, "SHARD", 5)
    found = sections.sections(iter(records(["text"] * 20)), 40)
    assert [len(section) for section, *_ in found] == [10, 10, 0]


def test_reading_is_no_further_ahead_than_a_window(monkeypatch):
    monkeypatch.setattr(sections, "ROWS", 5)
    source = iter(records(["text"] * 20))
    assert len(next(sections.sections(source, sections.CHARACTERS))[0]) == 5
    assert [record.index for record in islice(source, 1)] == [5]


@pytest.fixture
def run(command, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Shards of three rows, and texts that share beginnings over all of the file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sections, "SHARD", 3)
    monkeypatch.setattr(stream, "SHARD", 3)
    texts = [f"The quick brown fox number {i % 3} of {i}" for i in range(11)]
    Path("a.csv").write_text("id,text\n" + "".join(f"x{i},{text}\n" for i, text in enumerate(texts)))
    calls: list[int] = []
    score_batch = LanguageModel.score_batch

    def counted(self: LanguageModel, texts: list[str], **options: object) -> Scores:
        calls.append(len(texts))
        return score_batch(self, texts, **options)

    monkeypatch.setattr(LanguageModel, "score_batch", counted)
    return lambda *arguments: (calls, *command(*arguments, "--model", str(tiny_folder)))


@pytest.mark.parametrize("options", [(), ("--per", "token"), ("--per", "token", "--top", "2"), ("--end",)])
def test_rows_are_those_of_shards(run, monkeypatch, options):
    calls, code, out, _ = run("score", "--file", "a.csv", *options)
    assert (code, calls) == (0, [11])
    monkeypatch.setattr(sections, "GAIN", 2)
    calls, code, apart, _ = run("score", "--file", "a.csv", *options)
    assert (code, calls) == (0, [11, 3, 3, 3, 2])
    assert out == apart
    assert [*dict.fromkeys(row["index"] for row in csv.DictReader(io.StringIO(out)))] == [str(i) for i in range(11)]


def test_a_bad_row_in_a_window(run):
    Path("a.csv").write_text(Path("a.csv").read_text() + "bad," + "long " * 99 + "\n" + "x12,The quick brown fox\n")
    calls, code, out, err = run("score", "--file", "a.csv", "--no-window", "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert (code, [row["id"] for row in rows]) == (2, [f"x{i}" for i in range(11)])
    assert calls == [13, 3, 3, 3, 3, 2]
    assert "row 12 of a.csv: " in err
    assert err.endswith("11 rows are written: continue with --from 11 (and --skip-bad to skip such rows)\n")
    *_, out, err = run("score", "--file", "a.csv", "--no-window", "--json", "--skip-bad")
    assert [json.loads(line)["index"] for line in out.splitlines()] == [*range(11), 12]
    assert "1 row was skipped" in err


def test_rows_before_an_error_of_reading_are_in_the_last_window():
    def failing():
        yield from records(["a", "b"])
        raise InputError("damaged")

    ((section, error, last),) = sections.sections(failing(), sections.CHARACTERS)
    assert (len(section), str(error), last) == (2, "damaged", True)


def test_a_part_of_scores(tiny):
    scores = tiny.score_batch([f"text {i}" * (i + 1) for i in range(7)], top=2)
    for first, stop in ((0, 3), (3, 7), (2, 2), (6, 9)):
        part = scores.part(slice(first, stop))
        assert [one.to_dict() for one in part] == [one.to_dict() for one in scores[first:stop]]
        assert part.to_arrow("token").num_rows == sum(scores.tokens[first:stop])
        if stop > first:
            assert (
                part.to_arrow().drop_columns("index").equals(scores.to_arrow().drop_columns("index").slice(first, stop - first))
            )
