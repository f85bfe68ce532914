"""Suites: formulas, regions and predictions, on tables by hand and on a network, against `score`."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import pytest

from chainrule import InputError, LanguageModel, TableModel
from chainrule.scoring import formula

WORDS = ["the", "keys", "key", "are", "is", "here", "."]
ROWS = {
    "": [1 / 7] * 7,
    ("the",): [0, 0.5, 0.5, 0, 0, 0, 0],
    ("keys",): [0, 0, 0, 0.5, 0.125, 0.25, 0.125],
    ("key",): [0, 0, 0, 0.25, 0.25, 0.25, 0.25],
}


@pytest.fixture(scope="module")
def lm() -> LanguageModel:
    return LanguageModel(TableModel(WORDS, ROWS, probabilities=True, back_off=True))


def condition(name: str, *contents: str) -> dict[str, Any]:
    regions = [{"region_number": i, "content": content} for i, content in enumerate(contents, 1)]
    return {"condition_name": name, "regions": regions}


def suite_of(*formulas: str, items: list[Any] | None = None) -> dict[str, Any]:
    own = [condition("match", "the keys", "are", "here"), condition("mismatch", "the keys", "is", "here")]
    other = [condition("match", "the key", "is", "here"), condition("mismatch", "the key", "are", "here")]
    return {
        "meta": {"name": "agreement", "metric": "sum"},
        "region_meta": {"1": "subject", "2": "verb", "3": "rest"},
        "predictions": [{"type": "formula", "formula": each} for each in formulas],
        "items": items or [{"item_number": 1, "conditions": own}, {"item_number": 2, "conditions": other}],
    }


def test_a_suite_by_hand(lm: LanguageModel):
    suite = lm.suite(suite_of("(2;%mismatch%) > (2;%match%)", "(2;%mismatch%)=(2;%match%)"))
    regions = {(r.item, r.condition, r.region): r.surprisal_bits for r in suite.regions}
    assert regions[1, "match", 1] == pytest.approx(math.log2(7) + 1)
    assert [regions[1, name, 2] for name in ("match", "mismatch")] == pytest.approx([1, 3])
    assert [regions[2, name, 2] for name in ("match", "mismatch")] == pytest.approx([2, 2])
    assert [(o.item, o.prediction, o.holds) for o in suite.outcomes] == [
        (1, 1, True), (1, 2, False), (2, 1, False), (2, 2, True)
    ]  # fmt: skip
    assert [(p.accuracy, p.successes, p.n) for p in suite] == [(0.5, 1, 2), (0.5, 1, 2)]
    assert suite.predictions[0].interval == pytest.approx((0.094531, 0.905469), abs=1e-6)
    row = suite.to_dicts("region")[1]
    assert {name: row[name] for name in ("item", "condition", "region", "region_name", "content", "tokens", "boundary")} == {
        "item": 1, "condition": "match", "region": 2, "region_name": "verb", "content": "are", "tokens": 1, "boundary": "clean"
    }  # fmt: skip
    assert json.loads(suite.to_json())["predictions"][0]["formula"] == "(2;%mismatch%) > (2;%match%)"


def test_regions_of_a_network_add_up_to_the_sentence(tiny: LanguageModel):
    items = [{"item_number": 4, "conditions": [condition("a", "The quick", "", "brown", ", naïve", "fox", ".")]}]
    suite = tiny.suite(suite_of(items=items))
    text = "The quick brown, naïve fox."
    assert suite.scores.requests[0].text == text
    assert math.fsum(r.surprisal_bits for r in suite.regions) == pytest.approx(tiny.score(text).bits, rel=1e-12)
    assert (suite.regions[1].surprisal_bits, suite.regions[1].tokens) == (0.0, 0)
    assert sum(r.tokens for r in suite.regions) == len(tiny.score(text))


def test_spaces_between_regions(lm: LanguageModel):
    items = [{"item_number": 1, "conditions": [condition("a", "the ", " keys", "")]}]
    assert lm.suite(suite_of(items=items)).scores.requests[0].text == "the keys"
    items = [{"item_number": 1, "conditions": [condition("a", "the", "", "keys", ".")]}]
    with pytest.raises(InputError, match=r"'keys\.' is not in the vocabulary"):  # joined to the word before
        lm.suite(suite_of(items=items))
    assert lm.suite(suite_of(items=items), no_space_before="").scores.requests[0].text == "the keys ."


def test_a_token_that_crosses_a_region_is_told():
    lm = LanguageModel(TableModel(["the", "key."], {"": [0.5, 0.5]}, probabilities=True, back_off=True))
    suite = lm.suite(suite_of(items=[{"item_number": 1, "conditions": [condition("a", "the", "key", ".")]}]))
    assert [(r.boundary, r.crossing, r.surprisal_bits, r.tokens) for r in suite.regions] == [
        ("clean", [], 1.0, 1), ("token crosses", ["key."], 1.0, 1), ("clean", [], 0.0, 0)
    ]  # fmt: skip
    from chainrule.results.shown import as_text

    assert "item 1, condition 'a', region 2, token 'key.'" in as_text(suite)


def test_a_given_token_has_no_surprisal(lm: LanguageModel):
    suite = lm.suite(suite_of("(2;%match%) < (2;%mismatch%)"), start="given")
    assert [r.surprisal_bits is None for r in suite.regions] == [True, False, False] * 4
    with pytest.raises(InputError, match=r"prediction 1, character 1: the first token of item 1, condition 'match' is given"):
        lm.suite(suite_of("(*;%match%) < (2;%mismatch%)"), start="given")


def test_a_suite_from_a_file(lm: LanguageModel, tmp_path: Path):
    own = suite_of("(2;%mismatch%) > (2;%match%)")
    path = tmp_path / "suite.json"
    path.write_text(json.dumps(own), encoding="utf-8-sig")
    assert lm.suite(path).to_dict() == lm.suite(str(path)).to_dict() == lm.suite(own).to_dict()


VALUES = {(1, "a"): 1.0, (2, "a"): 2.0, (1, "b"): 4.0, (2, "b"): 8.0}


def value(region: formula.Region) -> float:
    return sum(v for (n, c), v in VALUES.items() if c == region.condition and region.number in (None, n))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(1;%a%) < (2;%a%)", True),
        ("(1;%a%)>(2;%a%)", False),
        (" ( 1 ; %a% ) = 1.0005", True),
        ("(1;%a%) = 1.01", False),
        ("(2;%b%) - (1;%b%) - (2;%a%) = 2", True),  # from left to right
        ("(2;%b%) - ((1;%b%) - (2;%a%)) = 6", True),
        ("(2;%b%) - (1;%b%) + (2;%a%) = 6", True),
        ("(*;%b%) = 12 & (*;%a%) = 3", True),
        ("(1;%a%) > 5 & (1;%a%) > 5 | (1;%a%) < 5", True),
        ("(1;%a%) < 5 | (1;%a%) < 5 & (1;%a%) > 5", False),  # from left to right
        ("(1;%a%) < 5 & (1;%a%) < 5 & (1;%a%) > 5", False),
        ("((1;%a%) < 5 | (1;%a%) < 5) & (1;%a%) > 5", False),
        ("(((2;%a%) > (1;%a%)))", True),
        ("[(1;%a%)<(2;%a%)]& [[(2;%b%) - (1;%b%)] > ((2;%a%)-(1;%a%)) ]", True),  # as in published suites
        ("-1 < (1;%a%) & 0 - (1;%a%) = -1", True),
        ("1e1 > .5", True),
    ],
)
def test_formulas(text: str, expected: bool):
    assert formula.parse(text).holds(value) is expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "character 1: expected a region"),
        ("(1;%a%)", "character 1: .*is a number, not a comparison"),
        ("(1;%a%) <", "character 10: expected a region.* not the end"),
        ("(1;%a%) < (2;%b%) < 3", "character 19: a comparison has two sides"),
        ("(1;%a%) & (2;%b%)", "character 9: & joins comparisons, not numbers"),
        ("((1;%a%) < 2) + 1 < 3", r"character 15: \+ joins numbers, not comparisons"),
        ("((1;%a%) < 2) < 3", "character 15: < joins numbers, not comparisons"),
        ("(1;%a%) < 2 & ", "character 15: expected a region"),
        ("((1;%a%) < 2", r"character 13: expected \), which closes the \( at character 1, not the end"),
        ("[(1;%a%) < 2)", r"character 13: expected \], which closes the \[ at character 1, not '\)'"),
        ("(1;%a%) < 2)", r"character 12: expected an operator or the end, not '\)'"),
        ("(1;%a%) <= 2", "character 10: expected a region.*not '='"),
        ("(x;%a%) < 2", "character 2: 'x;%a%"),
        ("(1;a) < 2", "character 3: ';a"),
        ("(1;%a%) < __import__", "character 11: '__import"),
        ("(" * 60 + "1 < 2" + ")" * 60, "character 51: more than 50 parentheses"),
    ],
)
def test_malformed_formulas(lm: LanguageModel, text: str, message: str):
    with pytest.raises(InputError, match=f"prediction 1, {message}"):
        lm.suite(suite_of(text))


def changed(change: Any) -> dict[str, Any]:
    own = copy.deepcopy(suite_of("(2;%match%) < (2;%mismatch%)"))
    change(own)
    return own


MALFORMED: dict[str, tuple[Any, str]] = {
    "no items": (lambda s: s.pop("items"), "the suite: expected an object with 'items'"),
    "empty items": (lambda s: s["items"].clear(), "the suite has no items"),
    "no predictions": (lambda s: s.pop("predictions"), "the suite: expected an object with 'predictions'"),
    "another metric": (lambda s: s["meta"].update(metric="mean"), "metric of a suite must be 'sum'"),
    "another type": (lambda s: s["predictions"][0].update(type="code"), "prediction 1: expected"),
    "no number": (lambda s: s["items"][1].pop("item_number"), "entry 2 of items: expected an object with 'item_number'"),
    "a text for a number": (lambda s: s["items"][0].update(item_number="1"), "entry 1 of items: item_number must be a whole"),
    "twice": (lambda s: s["items"][1].update(item_number=1), "item 1 occurs twice"),
    "no conditions": (lambda s: s["items"][0].update(conditions=[]), "item 1 has no conditions"),
    "same condition": (
        lambda s: s["items"][0]["conditions"][1].update(condition_name="match"), "item 1: the condition 'match' occurs twice"
    ),
    "missing condition": (
        lambda s: s["items"][1]["conditions"].pop(), "prediction 1, character 15: item 2 has no condition 'mismatch'"
    ),
    "missing region": (
        lambda s: s["items"][1]["conditions"][0]["regions"].pop(1),
        "prediction 1, character 1: item 2 has no region 2 in its condition 'match'",
    ),
    "no content": (
        lambda s: s["items"][0]["conditions"][1]["regions"][2].pop("content"),
        "item 1, condition 'mismatch', region 3: expected an object with 'content'",
    ),
    "content is a number": (
        lambda s: s["items"][0]["conditions"][0]["regions"][0].update(content=5),
        "item 1, condition 'match', region 1: the content must be a text, not 5",
    ),
    "same region": (
        lambda s: s["items"][0]["conditions"][0]["regions"][1].update(region_number=1),
        "item 1, condition 'match': the region 1 occurs twice",
    ),
    "unknown word": (
        lambda s: s["items"][1]["conditions"][0]["regions"][0].update(content="the door"), "'door' is not in the vocabulary"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_suites(lm: LanguageModel, name: str):
    change, message = MALFORMED[name]
    with pytest.raises(InputError, match=message):
        lm.suite(changed(change))


@pytest.mark.parametrize(
    ("raw", "message"),
    [(b"{", "not valid JSON"), (b"[]", "a suite is a JSON object"), (b'{"a": "\xff"}', "not UTF-8: byte 0xff at offset 7")],
)
def test_files_that_are_no_suites(lm: LanguageModel, tmp_path: Path, raw: bytes, message: str):
    path = tmp_path / "suite.json"
    path.write_bytes(raw)
    with pytest.raises(InputError, match=message):
        lm.suite(path)
    with pytest.raises(InputError, match=r"cannot read .*missing\.json"):
        lm.suite(tmp_path / "missing.json")
