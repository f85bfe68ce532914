"""chainrule pairs, score --acceptability and score --detectors: tables in, tables out, and errors."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from chainrule import Detectors, LanguageModel
from chainrule.cli import sections, stream

GOOD = ["The dogs bark", "A cat sits", "The quick fox", "Hello there"]
BAD = ["The dogs barks", "A cat sit", "The quickly fox", "Hello their"]
TYPES = ["b", "a", "b", "a"]


@pytest.fixture
def run(command, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str, stdin: Any = None) -> tuple[int, str, str]:
        return command(*arguments, "--model", str(tiny_folder), stdin=stdin)

    return call


def table(names: tuple[str, ...], *columns: list[str]) -> str:
    out = io.StringIO()
    csv.writer(out).writerows([names, *zip(*columns, strict=True)])
    return out.getvalue()


def rows_of(out: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(out)))


@pytest.mark.parametrize(
    ("names", "options"),
    [
        (("nr", "good", "bad", "type"), []),
        (("nr", "sentence_good", "sentence_bad", "type"), []),  # BLiMP
        (("nr", "x", "y", "type"), ["--good", "x", "--bad", "y"]),
        (("nr", "good", "y", "type"), ["--bad", "y"]),
    ],
)
def test_the_columns_of_the_user_come_first(run, tiny: LanguageModel, names: tuple[str, ...], options: list[str]):
    Path("p.csv").write_text(table(names, ["1", "2", "3", "4"], GOOD, BAD, TYPES), encoding="utf-8")
    code, out, err = run("pairs", "p.csv", *options, "--phenomenon", "type")
    assert code == 0, err
    rows, pairs = rows_of(out), tiny.pairs(GOOD, BAD, phenomenon=TYPES)
    assert tuple(rows[0])[:5] == (*names, "index")
    assert [tuple(row.values())[:4] for row in rows] == list(zip("1234", GOOD, BAD, TYPES, strict=True))
    assert "phenomenon" not in rows[0]
    assert [float(row["difference_nats"]) for row in rows] == pairs.difference_nats.tolist()
    assert [row["winner_per_byte"] for row in rows] == pairs.winners("per_byte")
    lines = err.splitlines()
    assert lines[0] == f"chainrule: all pairs, log Pr: {pairs.accuracy[0].describe()}"
    assert lines[3] == f"chainrule: b, log Pr: {pairs.accuracy[3].describe()}"
    assert len(lines) == 5


def test_accuracies_as_a_table(run, tiny: LanguageModel):
    text = table(("good", "bad", "type"), GOOD, BAD, TYPES)
    expected = tiny.pairs(GOOD, BAD, phenomenon=TYPES).to_arrow("accuracy")
    options = ["pairs", "--format", "csv", "--phenomenon", "type", "--per", "accuracy"]
    code, out, err = run(*options, stdin=text)
    assert (code, err) == (0, "")
    assert list(rows_of(out)[0]) == expected.column_names
    assert [float(row["accuracy_low"]) for row in rows_of(out)] == expected["accuracy_low"].to_pylist()
    assert [json.loads(line)["n"] for line in run(*options, "--json", stdin=text)[1].splitlines()] == expected["n"].to_pylist()
    assert run(*options, "-o", "a.parquet", stdin=text)[0] == 0
    assert pyarrow.parquet.read_table("a.parquet").equals(expected)


def test_accuracies_are_of_all_sections(run, tiny: LanguageModel, monkeypatch: pytest.MonkeyPatch):
    for module in (sections, stream):
        monkeypatch.setattr(module, "SHARD", 2)
    monkeypatch.setattr(sections, "CHARACTERS", 1)
    Path("p.csv").write_text(table(("good", "bad", "type"), GOOD, BAD, TYPES), encoding="utf-8")
    whole = tiny.pairs(GOOD, BAD, phenomenon=TYPES)
    _, out, err = run("pairs", "p.csv", "--phenomenon", "type")
    assert [float(row["logprob_good"]) for row in rows_of(out)] == pytest.approx(whole.logprob[:, 0])
    assert whole.accuracy[0].describe() in err
    _, out, _ = run("pairs", "p.csv", "--phenomenon", "type", "--per", "accuracy")
    assert [int(row["successes"]) for row in rows_of(out)] == [a.successes for a in whole.accuracy]


def test_parts_of_pairs_are_the_pairs(tiny: LanguageModel):
    good = [f"{text} |here|" for text in GOOD]
    bad = [f"{text} |here now|" for text in BAD]
    pairs = tiny.pairs(good, bad, phenomenon=TYPES, marked=True)
    part = pairs.part(slice(1, 3))
    assert [row | {"index": 0} for row in part.to_dicts()] == [row | {"index": 0} for row in pairs.to_dicts()[1:3]]
    measures = tiny.acceptability(GOOD, context=["a", None, "b", None], unigram=["a b"])
    rows = measures.part(slice(1, 3)).to_dicts()
    assert [row | {"index": 0} for row in rows] == [row | {"index": 0} for row in measures.to_dicts()[1:3]]


def test_regions_and_contexts_from_columns(run, tiny: LanguageModel):
    columns = ["The dog", "A"], ["The dogs", "An"], ["dog", "A"], ["dogs", "An"], ["Look: ", ""]
    Path("p.csv").write_text(table(("good", "bad", "gr", "br", "before"), *columns), encoding="utf-8")
    options = ["--good-region", "gr", "--bad-region", "br", "--context-column", "before"]
    code, out, err = run("pairs", "p.csv", *options)
    assert code == 0, err
    good, bad, good_region, bad_region, context = columns
    expected = tiny.pairs(good, bad, good_region=good_region, bad_region=bad_region, context=context)
    assert [float(row["logprob_bad"]) for row in rows_of(out)] == expected.logprob[:, 1].tolist()
    assert [row["region_good"] for row in rows_of(out)] == good_region
    marked = table(("good", "bad"), ["The |dog|", "|A|"], ["The |dogs|", "|An|"])
    code, out, err = run("pairs", "--format", "csv", "--marked", stdin=marked)
    assert [row["region_bad"] for row in rows_of(out)] == bad_region
    assert [row["good"] for row in rows_of(out)] == ["The |dog|", "|A|"]  # as in the user's table


def long_table() -> str:
    columns = ["1", "2", "1", "2", "3"], ["p", "s", "s", "p", "x"], ["They are", "We is", "They is", "We are", "no"]
    return table(("item", "number", "text"), *columns)


def test_one_text_in_a_row(run, tiny: LanguageModel):
    options = ["pairs", "long.csv", "--by", "item", "--condition", "number", "--good", "p"]
    Path("long.csv").write_text(long_table(), encoding="utf-8")
    code, out, err = run(*options, "--bad", "s")
    assert code == 0, err
    rows = rows_of(out)
    assert list(rows[0])[:5] == ["item", "index", "phenomenon", "good", "bad"]
    assert [tuple(row.values())[:5] for row in rows] == [
        ("1", "0", "", "They are", "They is"), ("2", "1", "", "We are", "We is")
    ]  # fmt: skip
    assert "rows in other conditions are left out: 'x'" in err
    lines = [json.loads(line) for line in run(*options, "--bad", "s", "--json")[1].splitlines()]
    assert [(line["item"], line["good"], line["logprob_good"]) for line in lines] == [
        (row["item"], row["good"], float(row["logprob_good"])) for row in rows
    ]
    two = long_table().replace("3,x,no\r\n", "")
    assert rows_of(run("pairs", "--format", "csv", *options[2:], stdin=two)[1]) == rows


ERRORS: dict[str, tuple[list[str], str, str]] = {
    "no columns": ([], table(("a", "b"), ["x"], ["y"]), "there are no columns 'good' and 'bad'"),
    "a column that is missing": (["--good", "z"], table(("good", "bad"), ["x"], ["y"]), "there is no column 'z'|no columns"),
    "an empty cell": ([], table(("good", "bad"), ["x", "y"], ["y", ""]), "row 2 .*column 'bad' is empty"),
    "no phenomenon": (["--phenomenon", "t"], table(("good", "bad"), ["x"], ["y"]), "no column 't'"),
    "an empty phenomenon": (
        ["--phenomenon", "t"], table(("good", "bad", "t"), ["x"], ["y"], [""]), "row 1 .*the phenomenon is missing"
    ),
    "no region": (["--good-region", "t"], table(("good", "bad", "t"), ["x"], ["x"], ["z"]), "row 1 .*'z' is not in the text"),
    "no marks": (["--marked"], table(("good", "bad"), ["x"], ["y"]), "row 1 .*the good text: a marked text has two"),
    "both": (["--marked", "--good-region", "t"], "", "--good-region names a column of parts, but --marked"),
    "half a region": (["--bad-region", "t"], "", "--bad-region needs --good-region"),
    "half a long form": (["--by", "t"], "", "--by and --condition belong together"),
    "no good condition": (["--by", "item", "--condition", "number"], "", "--good names the condition"),
    "another condition": (
        ["--by", "item", "--condition", "number", "--good", "q"], long_table(), "no row has the condition 'q'.*'p', 's', 'x'"
    ),
    "three conditions": (
        ["--by", "item", "--condition", "number", "--good", "p"], long_table(), "the condition of the bad texts with --bad"
    ),
    "an item without a text": (
        ["--by", "item", "--condition", "number", "--good", "p", "--bad", "x"], long_table(),
        "item '1' has no text in the condition 'x'",
    ),
    "two texts of an item": (
        ["--by", "item", "--condition", "number", "--good", "p", "--bad", "s"], long_table() + "1,p,They were\r\n",
        "item '1' has two texts in the condition 'p': row 1 of .* and row 6 of",
    ),
    "a text column": (["--text-column", "x"], "", "--text-column is for tables with one text in a row"),
    "nothing": ([], table(("good", "bad")), "nothing to score"),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_errors(run, name: str):
    options, text, message = ERRORS[name]
    code, _, err = run("pairs", "--format", "csv", *options, stdin=text)
    assert code == 2, err
    assert re.search(message, err.splitlines()[-1]), err


def test_bad_pairs_can_be_skipped(run):
    text = table(("good", "bad"), ["x", "", "z"], ["y", "y", "w"])
    code, out, err = run("pairs", "--format", "csv", "--skip-bad", stdin=text)
    assert (code, [row["index"] for row in rows_of(out)]) == (0, ["0", "2"])
    assert "1 row was skipped" in err
    assert "of 2" in err


def test_plain_lines_are_no_pairs(run):
    code, _, err = run("pairs", stdin="a\nb\n")
    assert code == 2
    assert "plain line" in err


# score --acceptability


def test_measures_are_columns_of_score(run, tiny: LanguageModel):
    Path("corpus.txt").write_text("The dogs\nA cat\n", encoding="utf-8")
    Path("t.csv").write_text(table(("nr", "text", "before"), ["1", "2"], GOOD[:2], ["Look: ", ""]), encoding="utf-8")
    options = ["--acceptability", "--unigram", "corpus.txt", "--context-column", "before"]
    expected = tiny.acceptability(GOOD[:2], context=["Look: ", None], unigram=["The dogs", "A cat"])
    code, out, err = run("score", "--file", "t.csv", *options)
    assert code == 0, err
    rows = rows_of(out)
    assert list(rows[0])[:4] == ["nr", "text", "before", "index"]
    for name in ("mean_lp_nats", "pen_lp_nats", "norm_lp", "slor_nats"):
        assert [float(row[name]) for row in rows] == getattr(expected, name).tolist()
    assert [row["pmi_nats"] for row in rows] == [str(expected.pmi_nats[0]), ""]
    lines = [json.loads(line) for line in run("score", "--file", "t.csv", *options, "--json")[1].splitlines()]
    assert [line["slor_nats"] for line in lines] == expected.slor_nats.tolist()
    one = json.loads(run("score", GOOD[0], "--acceptability", "--json")[1])
    assert one["mean_lp_nats"] == tiny.score(GOOD[0]).logprob / len(one["factors"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--unigram", "x.txt"], "--unigram is for --acceptability"),
        (["--acceptability", "--unigram", "x.txt"], "cannot read x.txt"),
        (["--acceptability", "--per", "token"], "rows of sequences, not of --per token"),
        (["--acceptability", "--order", "random"], "leave --order out"),
    ],
)
def test_options_that_measures_do_not_have(run, options: list[str], message: str):
    code, _, err = run("score", "a", *options)
    assert (code, message in err) == (2, True), err


# score --detectors


def test_detectors_are_columns_of_score(run, tiny: LanguageModel):
    Path("t.csv").write_text(table(("nr", "text"), ["1", "2", "3", "4"], GOOD), encoding="utf-8")
    expected = Detectors(tiny.score_batch(GOOD), k=0.4)
    code, out, err = run("score", "--file", "t.csv", "--detectors", "--min-k-share", "0.4")
    assert code == 0, err
    rows = rows_of(out)
    assert list(rows[0])[:3] == ["nr", "text", "index"]
    for name in ("min_k_nats", "min_k_pp", "fast_detect", "zlib_ratio"):
        assert [float(row[name]) for row in rows] == getattr(expected, name).tolist()
    assert run("score", "--file", "t.csv", "--detectors", "--per", "token", "-o", "o.parquet")[0] == 0
    tokens = pyarrow.parquet.read_table("o.parquet")
    assert tokens["z"].to_pylist() == expected.z_scores.tolist()
    assert tokens["nr"].to_pylist() == [
        nr for nr, score in zip("1234", expected.scores, strict=True) for _ in range(len(score))
    ]
    lines = [json.loads(line) for line in run("score", "--file", "t.csv", "--detectors", "--json")[1].splitlines()]
    assert [line["fast_detect"] for line in lines] == expected.fast_detect.tolist()
    one = json.loads(run("score", GOOD[0], "--detectors", "--json")[1])
    assert one["min_k_pp"] == tiny.score(GOOD[0]).min_k_pp()
    assert [factor["z"] for factor in one["factors"]] == tiny.score(GOOD[0]).z_scores.tolist()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--min-k-share", "0.1"], "--min-k-share is for --detectors"),
        (["--detectors", "--min-k-share", "0"], "--min-k-share is more than 0 and at most 1, not 0"),
        (["--detectors", "--acceptability"], "--detectors has no numbers for --acceptability"),
        (["--detectors", "--order", "random:2"], "--detectors has no numbers for several orders"),
    ],
)
def test_options_that_detectors_do_not_have(run, options: list[str], message: str):
    code, _, err = run("score", "a", *options)
    assert (code, message in err) == (2, True), err
