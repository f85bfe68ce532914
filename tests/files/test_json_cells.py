"""Values of JSON files in Arrow columns: nothing is lost, whatever the order of the rows."""

from __future__ import annotations

import json
import random
from typing import Any

import pyarrow
import pytest

from chainrule.files.json_cells import Kinds, encoded, for_csv
from chainrule.files.json_rows import _DECODE
from chainrule.files.row_text import csv_text, json_lines


def value(draw: random.Random, depth: int = 0) -> Any:
    kinds: list[Any] = [None, True, 5, -7, 2**53 + 1, 2**60, 0.5, 1e300, "x", "é\U0001f389", '"quoted"', ""]
    if depth < 3 and draw.random() < 0.4:
        if draw.random() < 0.5:
            return [value(draw, depth + 1) for _ in range(draw.randint(0, 3))]
        return {name: value(draw, depth + 1) for name in draw.sample("abc", draw.randint(0, 3))}
    return draw.choice(kinds)


def column(draw: random.Random) -> list[dict[str, Any]]:
    """Rows with one column, whose values are often of one kind."""
    if draw.random() < 0.5:
        same = draw.choice(
            [[1, 2, None], [1, 0.5], [2**60, 1], ["a", None], [True, False], [[1], [], [None]], [{"a": 1}, {"b": "x"}]]
        )
        return [{"v": draw.choice(same)} if draw.random() < 0.9 else {} for _ in range(6)]
    return [{"v": value(draw)} if draw.random() < 0.9 else {} for _ in range(4)]


def without_nulls(item: Any) -> Any:
    """Objects without their fields that are null: Arrow's structs have a field for each name."""
    if isinstance(item, dict):
        return {name: without_nulls(each) for name, each in item.items() if each is not None}
    return [without_nulls(each) for each in item] if isinstance(item, list) else item


def test_values_with_types_are_those_of_the_file():
    draw = random.Random(1)
    typed = 0
    for _ in range(3000):
        written = column(draw)
        rows = [_DECODE(json.dumps(row)) for row in written]
        kinds, backwards = Kinds(), Kinds()
        for row in rows:
            kinds.add(row)
        for row in rows[::-1]:
            backwards.add(row)
        if "v" not in kinds.of:
            continue
        array = kinds.array("v", rows)
        assert backwards.array("v", rows).to_pylist() == array.to_pylist()
        assert all(kinds.refuse(row) is None for row in rows)
        found = array.to_pylist()
        if kinds.of["v"] == "json":
            assert [None if text is None else json.loads(text) for text in found] == [row.get("v") for row in written]
        else:
            typed += 1
            expected = [row.get("v") for row in written]
            assert without_nulls(found) == without_nulls(expected)
            assert [type(a) for a in found] == [
                float if pyarrow.types.is_floating(array.type) and a is not None else type(a) for a in expected
            ]
    assert typed > 500


def test_texts_of_values_are_the_values():
    draw = random.Random(2)
    for _ in range(500):
        item = value(draw)
        assert json.loads(encoded(_DECODE(json.dumps(item)))) == item


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "2.5"], "double"), (["1", "9007199254740993", "2.5"], "string"), (["9007199254740993", "1"], "int64"),
        (["9223372036854775808"], "string"), (["1e999", "1.0"], "string"), (["NaN", "1"], "double"), (["null"], "string"),
        (["true", "null"], "bool"), (["true", "1"], "string"), (["{}"], "string"), (["[]"], "list<item: string>"),
        (["[1]", '["a"]'], "string"), (['{"a": 1}', '{"a": "b"}'], "string"), (['{"a": 1}', '{"b": [0.5]}'],
         "struct<a: int64, b: list<item: double>>"),
    ],
)  # fmt: skip
def test_the_type_of_a_column(values: list[str], kind: str):
    rows, kinds = [_DECODE(f'{{"v": {each}}}') for each in values], Kinds()
    for row in rows:
        kinds.add(row)
    assert str(kinds.array("v", rows).type).replace("element", "item") == kind


def test_a_value_that_does_not_fit_is_refused():
    kinds = Kinds()
    kinds.add(_DECODE('{"a": 1, "b": {"c": "x"}}'))
    for fits in ('{"a": 2}', '{"b": null}', '{"b": {"c": null}}', "{}"):
        assert kinds.refuse(_DECODE(fits)) is None
    for row, name in (('{"a": 2.5}', "a"), ('{"b": {"d": 1}}', "b"), ('{"z": 1}', "z"), ('{"b": {}}', "b")):
        assert kinds.refuse(_DECODE(row)) == name


def test_cells_of_csv():
    assert [for_csv(text) for text in (None, "null", '"a \\"b\\""', "5.50", "[1, null]", "true")] == [
        None, None, 'a "b"', "5.50", "[1, null]", "true"
    ]  # fmt: skip


def test_a_column_without_others():
    from chainrule.files.json_rows import JsonBlock

    block = JsonBlock("line {} of a", 1, None)
    for text in ('{"a": 1.0}', "{}"):
        block.add(_DECODE(text), text)
    table = block.table([0, 1])
    assert "".join(json_lines(table)) == '{"a": 1.0}\n{}\n'
    assert "".join(csv_text(table, True)) == 'a\n1.0\n""\n'
