"""Conditions on the rows of a table, compared with Python's own evaluation, with the rules of null written out."""

from __future__ import annotations

import ast
import math
import operator
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainrule import InputError
from chainrule.corpus.scored.expression import Condition

INF, NAN = math.inf, math.nan
SCHEMA = pa.schema(
    [
        ("bits_per_byte", pa.float64()),
        ("narrow", pa.float32()),
        ("tokens", pa.int32()),
        ("wide", pa.int64()),
        ("hash", pa.uint64()),
        ("lang", pa.string()),
        ("kind", pa.dictionary(pa.int32(), pa.string())),
        ("cut", pa.bool_()),
        ("error", pa.string()),
        ("my column", pa.int64()),
        ("meta", pa.struct([("score", pa.float64()), ("inner", pa.struct([("k", pa.string())]))])),
        ("ids", pa.list_(pa.int64())),
        ("when", pa.timestamp("s")),
    ]
)


def table(**columns: list[Any]) -> pa.Table:
    """A table with these values, and nulls in the other columns."""
    size = len(next(iter(columns.values())))
    return pa.table([pa.array(columns.get(f.name.replace(" ", "_"), [None] * size), f.type) for f in SCHEMA], schema=SCHEMA)


def chosen(text: str, **columns: list[Any]) -> list[int]:
    """The places of the rows for which a condition is true."""
    rows = table(**columns)
    condition = Condition(text, SCHEMA)
    places = [i for i, true in enumerate(condition.mask(rows).tolist()) if true]
    numbered = rows.append_column("place", [list(range(rows.num_rows))])
    assert numbered.filter(condition.expression)["place"].to_pylist() == places
    assert condition.filter(numbered)["place"].to_pylist() == places
    return places


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("bits_per_byte < 1.2", [0, 1]),
        ("not bits_per_byte < 1.2", [2, 3]),  # of null and of NaN: only NaN is a number
        ("bits_per_byte == bits_per_byte", [0, 1, 2]),
        ("bits_per_byte > 1e300", [2]),
        ("bits_per_byte is None", [4]),
        ("bits_per_byte is not None", [0, 1, 2, 3]),
        ("0 < bits_per_byte <= 1", [1]),
        ("bits_per_byte in (0, 1)", [0, 1]),
        ("bits_per_byte not in (0, 5)", [1, 2, 3]),  # null is not selected
        ("error is not None or bits_per_byte < 1", [0, 4]),
        ("error is None and bits_per_byte != 1", [0, 2, 3]),
        ("1 / bits_per_byte > 1", []),  # 1 / -0.0 is −∞
        ("bits_per_byte / 0 > 1", [1, 2]),
        ("-bits_per_byte < -0.5", [1, 2]),
        ("  bits_per_byte < 1.2\n  and bits_per_byte > 0  # as in the paper", [1]),
    ],
)
def test_null_nan_and_infinity(text: str, places: list[int]):
    assert chosen(text, bits_per_byte=[-0.0, 1.0, INF, NAN, None], error=[None, None, None, None, "bad"]) == places


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("lang == 'en'", [0]),
        ("lang in ['en', 'zé']", [0, 1]),
        ("lang not in ('en',)", [1]),
        ("lang not in ()", [0, 1]),
        ("length(lang) == 2 and lang > 'en'", [1]),
        ("kind == 'a' and cut", [0]),
        ("not cut", [1]),
        ("cut == False", [1]),
        ("cut in (True,)", [0]),
        ("kind in ('b', 'c')", [1]),
        ("meta.score > 1", [0]),
        ("meta.inner.k == 'x'", [0]),
        ("meta.score is None", [1, 2]),
        ("col('my column') * 2 + 1 == 7", [0]),
        ("col('meta').score > 1", [0]),
        ("ids is None", [1, 2]),
        ("True and cut or 1 > 2", [0]),
        ("'a' == kind", [0]),
        ("'x' in ('x', 'y') and cut", [0]),
    ],
)
def test_texts_truth_values_and_fields(text: str, places: list[int]):
    columns = {"lang": ["en", "zé", None], "kind": ["a", "b", None], "cut": [True, False, None], "my_column": [3, 4, None]}
    meta = [{"score": 2.0, "inner": {"k": "x"}}, {"score": None, "inner": None}, None]
    assert chosen(text, **columns, meta=meta, ids=[[1], None, None]) == places


HIGH = 2**63 - 1


@pytest.mark.parametrize(
    ("text", "places"),
    [
        (f"wide == {HIGH}", [1]),
        (f"wide < {HIGH}", [0, 2, 3]),  # as floats, the two largest would be equal
        (f"wide < {HIGH + 1}", [0, 1, 2, 3]),
        (f"wide in ({HIGH}, {HIGH + 1}, 0.5)", [1]),
        ("wide > -1e30", [0, 1, 2, 3]),
        (f"wide == {float(2**53)} ", []),
        ("wide > 0.5", [1, 2, 3]),
        (f"hash == {2**64 - 1}", [1]),
        ("hash > -1", [0, 1, 2, 3]),
        (f"0 > hash or {2**64} <= hash", []),
        ("wide == hash", [3]),
        ("wide < 1" + "0" * 400, [0, 1, 2, 3]),
        (f"hash not in (-1, {2**64})", [0, 1, 2, 3]),
    ],
)
def test_large_integers_are_not_rounded(text: str, places: list[int]):
    columns = {"wide": [-HIGH - 1, HIGH, HIGH - 1, 2**53 + 1], "hash": [0, 2**64 - 1, 1, 2**53 + 1]}
    assert chosen(text, **columns) == places


def test_a_narrow_float_keeps_its_value():
    assert chosen("narrow == 0.1", narrow=[0.1, 0.5]) == []
    assert chosen("narrow in (0.1, 0.5)", narrow=[0.1, 0.5]) == [1]


def test_the_order_of_many_rows_is_kept():
    columns = pa.chunked_array([pa.array(range(i * 700, i * 700 + 700), pa.int64()) for i in range(200)])
    rows = pa.table({"wide": columns})
    assert Condition("wide >= 0", rows.schema).filter(rows)["wide"].to_pylist() == list(range(140_000))


def test_many_terms():
    assert chosen(" or ".join(f"tokens == {i}" for i in range(0, 3000, 2)), tokens=[3, 4, 2998, None]) == [1, 2]


def test_a_name_in_another_unicode_form():
    schema = pa.schema([("Gro\u0308ße", pa.int64())])  # decomposed; Python composes names
    rows = pa.table({"Gro\u0308ße": [1, 2]})
    assert Condition("Größe > 1", schema).mask(rows).tolist() == [False, True]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("bit_per_byte < 1", ["no column 'bit_per_byte'", "did you mean 'bits_per_byte'?", "narrow, tokens"]),
        ("meta.scor > 1", ["no column 'scor'", "'score'", "of meta"]),
        ("lang.x == 'a'", ["lang has type string, which has no fields"]),
        ("tokens + 1", ["tokens + 1 (a number) is no condition", "compare it"]),
        ("lang", ["lang (a text) is no condition"]),
        ("tokens > 1 and tokens", ["tokens (a number) is no condition"]),
        ("lang < 1", ["lang (a text) cannot be compared with 1 (a number)"]),
        ("cut == 1", ["cut (true or false) cannot be compared with 1 (a number)"]),
        ("cut < True", ["have no order", "use == or !="]),
        ("lang in ('a', 1)", ["lang (a text)", "1 (a number)"]),
        ("lang in ('a', None)", ["None in a list", "or lang is None"]),
        ("lang in 'abc'", ["in needs a list"]),
        ("lang in (lang,)", ["lang in a list is not supported", "literals only"]),
        ("error == None", ["write `is None`"]),
        ("cut is True", ["`is` and `is not` are for None only"]),
        ("lang + 'a' == 'b'", ["lang (a text) is not a number"]),
        ("length(tokens) > 1", ["tokens (a number) is not a text"]),
        ("ids == 1", ["ids (of type list<", "only `is None`"]),
        ("when > '2020-01-01'", ["when (of type timestamp[s])", "only `is None`"]),
        ("len(lang) > 1", ["len(lang) is not supported", "use length(column)"]),
        ("cut & cut", ["use and, or and not"]),
        ("tokens ** 2 > 1", ["tokens ** 2 is not supported"]),
        ("__import__('os').system('true')", ["is not supported"]),
        ("(lambda: True)()", ["is not supported"]),
        ("[x for x in (1,)] == 1", ["is not supported"]),
        ("(tokens := 1) > 0", ["is not supported"]),
        ("f'{lang}' == 'a'", ["is not supported"]),
        ("lang == b'a'", ["b'a' is not supported"]),
        ("tokens > 1j", ["1j is not supported"]),
        ("col(lang) == 'a'", ["col takes one text"]),
        ("tokens > 1 / 0", ["1 / 0 cannot be computed", "division by zero"]),
        ("tokens <", ["no expression"]),
        ("class == 'a'", ["no expression (character 1)", "col('my column')"]),
        ("1 < 2", ["names no column"]),
        ("  ", ["is empty"]),
        ("lang == '\\ud800'", ["half a character"]),
        ("lang == '\ud800'", ["half a character"]),
        ("lang == '\0'", ["zero byte", "null byte"]),
        ("tokens > " + "9" * 5000, ["no expression"]),
        ("tokens > 1 or " * 5000 + "cut", ["70003 characters"]),
        ("(" * 500 + "cut" + ")" * 500, ["nested"]),
        ("tokens > " + "-" * 100 + "1", ["nested more than 60"]),
        ("tokens > " + "-" * 3000 + "1", ["nested"]),
        ("tokens > " + "-" * 20000 + "1", ["nested"]),
        ("tokens" + " + tokens" * 2000 + " > 1", ["nested"]),
        ("not " * 61 + "cut", ["nested"]),
    ],
)
def test_errors_name_the_problem_and_the_remedy(text: str, parts: list[str]):
    with pytest.raises(InputError) as caught:
        Condition(text, SCHEMA)
    message = str(caught.value)
    assert message.startswith("the condition ")
    assert any(part in message for part in parts) if "\0" in text else all(part in message for part in parts), message
    assert len(message) < 600


def test_two_columns_of_one_name():
    with pytest.raises(InputError, match="there are 2 columns 'a': rename them"):
        Condition("a > 1", pa.schema([("a", pa.int64()), ("a", pa.int64())]))


# --- random conditions


class Unknown(Exception):
    """The value is null."""


def truth_of(node: ast.expr, row: dict[str, Any]) -> bool | None:
    """Three-valued truth of a condition, None for unknown, evaluated in plain Python on one row."""
    match node:
        case ast.BoolOp():
            values = [truth_of(value, row) for value in node.values]
            decisive = isinstance(node.op, ast.Or)
            return decisive if decisive in values else None if None in values else not decisive
        case ast.UnaryOp(op=ast.Not()):
            value = truth_of(node.operand, row)
            return None if value is None else not value
        case ast.Compare():
            links = zip([node.left, *node.comparators], node.ops, node.comparators, strict=False)
            values = [link(left, op, right, row) for left, op, right in links]
            return False if False in values else None if None in values else True
        case _:
            return row[node.id]


COMPARE = {ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge, ast.Eq: operator.eq,
           ast.NotEq: operator.ne}  # fmt: skip
COMPUTE = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul}


def link(left: ast.expr, op: ast.cmpop, right: ast.expr, row: dict[str, Any]) -> bool | None:
    if isinstance(op, ast.Is | ast.IsNot):
        return (row[left.id] is None) == isinstance(op, ast.Is)
    try:
        value = value_of(left, row)
        if isinstance(op, ast.In | ast.NotIn):
            return (value in [ast.literal_eval(each) for each in right.elts]) == isinstance(op, ast.In)
        return COMPARE[type(op)](value, value_of(right, row))
    except Unknown:
        return None


def value_of(node: ast.expr, row: dict[str, Any]) -> Any:
    match node:
        case ast.Constant():
            return node.value
        case ast.Name():
            if row[node.id] is None:
                raise Unknown
            return row[node.id]
        case ast.Call():
            return len(value_of(node.args[0], row))
        case ast.UnaryOp():
            return -value_of(node.operand, row)
        case ast.BinOp():
            return COMPUTE[type(node.op)](float(value_of(node.left, row)), float(value_of(node.right, row)))


def conditions() -> st.SearchStrategy[str]:
    number = st.recursive(
        st.sampled_from(["bits_per_byte", "tokens", "length(lang)", "0", "1", "-1", "2.5", "1e400"]),
        lambda inner: st.builds("({} {} {})".format, inner, st.sampled_from("+-*"), inner) | st.builds("(-{})".format, inner),
        max_leaves=3,
    )
    text = st.sampled_from(["lang", "error", "'en'", "''", "'é'"])
    sign = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])
    leaf = st.one_of(
        st.builds("{} {} {}".format, number, sign, number),
        st.builds("{} {} {} {} {}".format, number, sign, number, sign, number),
        st.builds("{} {} {}".format, text, sign, text),
        st.builds("{} {} {}".format, st.sampled_from(["bits_per_byte", "tokens"]), st.sampled_from(["in", "not in"]),
                  st.sampled_from(["(0, 1, 2.5)", "[-1, 1e400]", "()", "(0.0,)"])),
        st.builds("{} {} {}".format, st.sampled_from(["lang", "error"]), st.sampled_from(["in", "not in"]),
                  st.sampled_from(["('en', '')", "['é']", "()"])),
        st.builds("{} {} None".format, st.sampled_from(["lang", "error", "tokens", "bits_per_byte", "cut"]),
                  st.sampled_from(["is", "is not"])),
        st.just("cut"),
    )  # fmt: skip
    return st.recursive(
        leaf,
        lambda inner: (
            st.builds("({} {} {})".format, inner, st.sampled_from(["and", "or"]), inner) | st.builds("(not ({}))".format, inner)
        ),
        max_leaves=5,
    ).filter(lambda text: any(name in text for name in ("bits_per_byte", "tokens", "lang", "error", "cut")))


ROW = st.fixed_dictionaries(
    {
        "bits_per_byte": st.none() | st.sampled_from([0.0, -0.0, 1.0, 2.5, INF, -INF, NAN]) | st.floats(-9, 9),
        "tokens": st.none() | st.integers(-3, 3),
        "lang": st.none() | st.sampled_from(["", "en", "é", "日本", "x" * 3]),
        "error": st.none() | st.sampled_from(["en", "bad"]),
        "cut": st.none() | st.booleans(),
    }
)


@given(conditions(), st.lists(ROW, min_size=1, max_size=6))
def test_random_conditions_agree_with_python(text: str, rows: list[dict[str, Any]]):
    tree = ast.parse(text, mode="eval").body
    expected = [i for i, row in enumerate(rows) if truth_of(tree, row) is True]
    assert chosen(text, **{name: [row[name] for row in rows] for name in rows[0]}) == expected
