"""Every result, and every file and JSON of it, says where it comes from."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

import chainrule
from chainrule import LanguageModel
from chainrule.files.writing import Writer
from chainrule.results.columns import Row
from chainrule.results.provenance import METADATA
from chainrule.results.rows import table
from chainrule.verify.report import Finding, Property, Report

TEXT = "The quick brown fox"
SUITE = {
    "predictions": [{"type": "formula", "formula": "(1;%a%) > (2;%a%)"}],
    "items": [{"item_number": 1, "conditions": [{"condition_name": "a", "regions": [
        {"region_number": 1, "content": "The"}, {"region_number": 2, "content": "fox"}]}]}],
}  # fmt: skip
NAMES = ("model", "weights", "revision", "dtype", "chainrule")

# Each result, and whether it has a window
RESULTS: dict[str, tuple[Callable[[LanguageModel], Any], bool]] = {
    "score": (lambda lm: lm.score(TEXT), True),
    "scores": (lambda lm: lm.score_batch([TEXT, "a"]), True),
    "no scores": (lambda lm: lm.score_batch([]), True),
    "item": (lambda lm: lm.score_batch([TEXT, "a"])[1], True),
    "ranked": (lambda lm: lm.rank("a", [" b", " c"])[0].score, True),
    "explanation": (lambda lm: lm.explain(TEXT), True),
    "generated": (lambda lm: lm.generate("a", max_tokens=2), True),
    "comparison": (lambda lm: lm.compare_with([-1.0, -2.0], [5, 6]), True),
    "conditional": (lambda lm: lm.conditional("a"), False),
    "pairs": (lambda lm: lm.pairs([TEXT], ["a"], phenomenon=["x"]), True),
    "pair": (lambda lm: lm.pairs([TEXT], ["a"])[0].bad, True),
    "suite": (lambda lm: lm.suite(SUITE), True),
    "detectors": (lambda lm: chainrule.Detectors(lm.score_batch([TEXT, "a"])), True),
    "acceptability": (lambda lm: lm.acceptability([TEXT, "a"], context=["a", None], unigram=["a b"]), True),
}


def letters() -> LanguageModel:
    table = chainrule.TableModel("AB", {"": [0.6, 0.4], "A": [0.7, 0.3]}, probabilities=True, back_off=True)
    return LanguageModel(table)


ORDERED: dict[str, tuple[Callable[[LanguageModel], Any], bool]] = {
    "mixture": (lambda lm: lm.score("AB", order="random:2"), True),
    "mixtures": (lambda lm: lm.score_batch(["AB"], order="random:2"), True),
    "pseudo": (lambda lm: lm.pseudo_log_likelihood("AB"), False),
}


def shortened(revision: str) -> str:
    """As in rows: "sha256:" and the first 16 digits."""
    assert re.fullmatch("sha256:[0-9a-f]{64}", revision)
    return revision[: len("sha256:") + 16]


def check(lm: LanguageModel, result: Any, has_window: bool, window: int | None) -> None:
    known = lm.model.identity
    expected = {"model": lm.model.name, **{name: getattr(known, name) for name in NAMES[1:]}}
    assert None not in expected.values()
    assert result.provenance() == expected | ({"window": window} if has_window else {})
    assert (result.model, result.identity) == (lm.model.name, known)
    assert result.source.startswith(known.describe())
    assert (f"at most {window} embeddings" in result.source) == (has_window and window is not None)
    if hasattr(result, "to_dict"):
        assert result.provenance().items() <= result.to_dict().items()
    in_rows = result.provenance() | {"revision": shortened(known.revision)}
    for per in getattr(result, "rows_per", ()):
        arrow = result.to_arrow(per)
        assert json.loads(arrow.schema.metadata[METADATA.encode()]) == result.provenance()
        assert all(in_rows.items() <= row.items() for row in arrow.to_pylist())


@pytest.mark.parametrize("name", RESULTS)
def test_every_result_says_where_it_comes_from(tiny: LanguageModel, name: str):
    make, has_window = RESULTS[name]
    check(tiny, make(tiny), has_window, 64)


@pytest.mark.parametrize("name", ORDERED)
def test_results_in_orders_say_where_they_come_from(name: str):
    lm = letters()
    make, has_window = ORDERED[name]
    check(lm, make(lm), has_window, None)


def test_a_report_says_where_it_comes_from(tiny: LanguageModel):
    finding = Property.judged("sum", Finding("no numbers"))
    report = Report(tiny.model.identity, [finding], {"dtype": "float32"}, 1.0)
    check(tiny, report, False, None)
    assert str(report).splitlines()[-2] == "model:  " + report.source.replace(" · ", "  ")


@pytest.mark.parametrize(("window", "expected"), [(None, 64), (False, 64), (8, 8)])
def test_the_window_is_the_one_that_was_used(tiny: LanguageModel, window: Any, expected: int):
    assert tiny.score(TEXT, window=window).window == expected


@pytest.mark.parametrize(
    ("context", "special", "expected"), [("a", None, None), ("a<s>", "text", "text"), ("a<s>", "parse", "parse")]
)
def test_a_conditional_says_how_control_symbols_were_read(tiny: LanguageModel, context: str, special: Any, expected: Any):
    conditional = tiny.conditional(context, special=special)
    assert conditional.to_dict()["context_special"] == conditional.context_special == expected
    assert tiny.score("b", context=context, special=special).context_special == expected


def rows_of(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        return pyarrow.parquet.read_table(path).to_pylist()
    if path.suffix == ".jsonl":
        return list(map(json.loads, path.read_text(encoding="utf-8").splitlines()))
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_every_row_of_a_file_says_where_it_comes_from(tiny: LanguageModel, tmp_path: Path, form: str):
    lm, path = letters(), tmp_path / f"x.{form}"
    ranked = [each.score for each in tiny.rank("a", [" b", " c"])]
    one = {"index": [0], "rank": [1], "candidate": [" b"], "logprob_within_set": [0.0]}
    tables = [
        *((tiny, tiny.score_batch([TEXT, "a"]).to_arrow(per)) for per in ("sequence", "token")),
        *((lm, lm.score_batch(["AB"], order="random:2").to_arrow(per)) for per in ("text", "order", "token")),
        (tiny, table(Row.CANDIDATE, ranked[:1], **one)),
        (tiny, table(Row.GENERATED, [tiny.generate("a", max_tokens=2)], index=[0])),
        (lm, table(Row.PSEUDO, [lm.pseudo_log_likelihood("AB")], index=[0])),
    ]
    for model, rows in tables:
        with Writer(path) as writer:
            writer.write(rows)
        expected = model.model.identity.to_dict()
        for row in rows_of(path):
            assert {name: row[name] for name in NAMES} == expected | {"revision": shortened(expected["revision"])}
            assert str(row.get("window") or "") == ("64" if model is tiny else "")
        if form == "parquet":
            metadata = pyarrow.parquet.read_schema(path).metadata
            assert expected.items() <= json.loads(metadata[METADATA.encode()]).items()
