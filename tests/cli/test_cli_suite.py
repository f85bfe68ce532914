"""chainrule suite: rows, JSON and errors of the command line."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from chainrule import LanguageModel

WORDS = {"match": ("The dog", "barks", "."), "mismatch": ("The dog", "bark", ".")}


def suite_of(formula: str = "(2;%mismatch%) > (2;%match%)") -> dict[str, Any]:
    conditions = [
        {"condition_name": name, "regions": [{"region_number": i, "content": c} for i, c in enumerate(contents, 1)]}
        for name, contents in WORDS.items()
    ]
    predictions = [{"type": "formula", "formula": formula}]
    return {"meta": {"name": "dogs"}, "predictions": predictions, "items": [{"item_number": 7, "conditions": conditions}]}


@pytest.fixture
def run(command, tiny_folder: Path, tmp_path: Path):
    def call(*arguments: str, suite: Any = None, stdin: Any = None) -> tuple[int, str, str]:
        path = tmp_path / "dogs.json"
        path.write_text(json.dumps(suite or suite_of()), encoding="utf-8")
        return command("suite", "-" if stdin else str(path), *arguments, "--model", str(tiny_folder), stdin=stdin)

    return call


@pytest.mark.parametrize(("per", "rows"), [("prediction", 1), ("item", 1), ("region", 6)])
def test_rows(run, tiny: LanguageModel, tmp_path: Path, per: str, rows: int):
    code, out, err = run("--per", per)
    assert (code, err) == (0, "")
    lines = list(csv.DictReader(io.StringIO(out)))
    assert len(lines) == rows
    table = tiny.suite(suite_of()).to_arrow(per)
    assert list(lines[0]) == table.column_names
    assert run("--per", per, "--output", str(tmp_path / "out.csv"))[0] == 0
    assert (tmp_path / "out.csv").read_text(encoding="utf-8") == out


def test_json_from_standard_input(run, tiny: LanguageModel):
    code, out, err = run("--json", "--no-space-before", "", stdin=json.dumps(suite_of()))
    assert (code, err) == (0, "")
    expected = tiny.suite(suite_of(), no_space_before="").to_dict()
    assert [r["content"] for r in json.loads(out)["regions"]] == [r["content"] for r in expected["regions"]]
    assert json.loads(out)["outcomes"] == expected["outcomes"]
    assert json.loads(out)["regions"][2]["surprisal_bits"] == expected["regions"][2]["surprisal_bits"]


def test_a_token_across_a_boundary_is_told_on_standard_error(run, tiny: LanguageModel):
    own = suite_of("1 > 0")
    own["items"][0]["conditions"][0]["regions"] = [
        {"region_number": 1, "content": "."}, {"region_number": 2, "content": ".."}
    ]  # fmt: skip
    crossing = tiny.suite(own).crossing
    code, _, err = run(suite=own)
    assert (code, "crosses into the next region" in err) == (0, bool(crossing))


@pytest.mark.parametrize(
    ("suite", "message"),
    [
        (suite_of("(2;%match%) <"), "prediction 1, character 14: expected a region"),
        (suite_of("(9;%match%) < 1"), "prediction 1, character 1: item 7 has no region 9 in its condition 'match'"),
        ({"predictions": [], "items": [{}]}, "entry 1 of items: expected an object with 'item_number', not {}"),
    ],
)
def test_errors_are_one_line_before_the_model_is_loaded(command, tmp_path: Path, suite: Any, message: str):
    path = tmp_path / "s.json"
    path.write_text(json.dumps(suite), encoding="utf-8")
    code, out, err = command("suite", str(path), "--model", str(tmp_path / "missing"))
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
