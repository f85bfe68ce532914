"""Head, middle and tail, compared with quantiles in exact fractions."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from corpus_folders import documents, failed, schema, scored, write
from hypothesis import given
from hypothesis import strategies as st

from chainrule import InputError
from chainrule.corpus.scored import groups
from chainrule.corpus.scored.parts import Parts
from chainrule.corpus.scored.quantiles import Bounds, thresholds
from chainrule.corpus.scored.ranks import quantile
from chainrule.files.row_text import json_text

INF = math.inf
LANG = [("lang", pa.string())]


def slow_quantile(values: list[float], part: int, of: int) -> float:
    """In exact arithmetic; with an infinite neighbour, the infinite one, and −∞ before ∞."""
    ordered = sorted(values)
    place = Fraction(part * (len(ordered) - 1), of)
    low = math.floor(place)
    if place == low or ordered[low] == ordered[low + 1]:
        return ordered[low]
    a, b = ordered[low], ordered[low + 1]
    if math.isinf(a) or math.isinf(b):
        return a if a == -INF else b
    return float(Fraction(a) + (Fraction(b) - Fraction(a)) * (place - low))


FINITE = st.floats(-1e6, 1e6)


@given(st.lists(FINITE | st.sampled_from([INF, -INF, 0.0]), min_size=1, max_size=20), st.integers(0, 6))
def test_quantiles_are_exact(values: list[float], part: int):
    found = quantile(np.sort(np.array(values)), part, 6)
    assert found == pytest.approx(slow_quantile(values, part, 6), rel=1e-12, abs=1e-9)
    if all(map(math.isfinite, values)):
        assert found == pytest.approx(np.quantile(values, part / 6), rel=1e-9, abs=1e-9)


def test_a_quantile_that_is_a_number_is_that_number():
    """7/100 as a float would give the place 7.000000000000001 of 100."""
    for of in (3, 100):
        for size in range(1, 20):
            values = np.sqrt(np.arange(of * size + 1.0))
            assert [quantile(values, part, of) for part in range(of + 1)] == values[::size].tolist()


def folder_of(rows: list[dict[str, Any]], tmp_path: Path, kept: Any = LANG, size: int = 4, **options: Any) -> Parts:
    """The rows in parts of a few rows."""
    parts = [rows[i : i + size] for i in range(0, len(rows), size)] or [[]]
    return Parts(write(tmp_path / "scored", parts, schema(kept, **options)))


@pytest.mark.parametrize("column", ["bits_per_byte", "perplexity", "tokens"])
@pytest.mark.parametrize("by", [None, "lang"])
@given(rows=documents())
def test_thirds_agree_with_a_slow_computation(rows: list[dict[str, Any]], column: str, by: str | None):
    with TemporaryDirectory() as folder:
        parts = folder_of(rows, Path(folder))
        found = thresholds(parts, column, by)
        labels = [label for table in parts.tables() for label in found.with_quantiles(table)["quantile"].to_pylist()]
    values: dict[Any, list[float]] = {}
    for row in rows:
        if row["error"] is None and row[column] is not None:
            values.setdefault(row[by] if by else None, []).append(row[column])
    bounds = {key: (slow_quantile(own, 1, 3), slow_quantile(own, 2, 3)) for key, own in values.items()}
    assert {group.value: group.documents for group in found.groups} == {key: len(own) for key, own in values.items()}
    for group in found.groups:
        assert (group.lower, group.upper) == pytest.approx(bounds[group.value], rel=1e-12)
    assert [group.value for group in found.groups] == sorted(values, key=lambda key: (key is None, key or ""))
    exact = {group.value: (group.lower, group.upper) for group in found.groups}
    for row, label in zip(rows, labels, strict=True):
        if row["error"] is not None or row[column] is None:
            assert label is None
        else:
            lower, upper = exact[row[by] if by else None]
            assert label == ("head" if row[column] <= lower else "middle" if row[column] <= upper else "tail")


def test_the_thirds_of_ten_documents(tmp_path: Path):
    rows = [scored(-float(i), 1, 1) for i in range(1, 11)] + [failed("bad")]
    found = thresholds(folder_of(rows, tmp_path, kept=[]), "tokens")
    assert found.groups == (Bounds(None, 10, 1.0, 1.0),)
    found = thresholds(Parts(tmp_path / "scored"), "logprob")
    assert found.to_dict() == {
        "column": "logprob",
        "by": None,
        "groups": [{"value": None, "documents": 10, "lower": -7.0, "upper": -4.0}],
    }
    rows = next(iter(Parts(tmp_path / "scored").tables()))
    assert found.quantiles(rows).to_pylist() == ["tail", "tail", "tail"]  # −1, −2, −3: the highest


def test_infinite_bounds_are_strict_json(tmp_path: Path):
    rows = [scored(-1.0, 1, 1) | {"perplexity": INF} for _ in range(4)]
    found = thresholds(folder_of(rows, tmp_path, kept=[]), "perplexity")
    assert '"lower": "Infinity"' in json_text(found.to_dict())
    assert found.quantiles(next(iter(Parts(tmp_path / "scored").tables()))).to_pylist() == ["head"] * 3


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (pa.int16(), [3, None, -1, 3]),
        (pa.bool_(), [True, None, False, True]),
        (pa.dictionary(pa.int8(), pa.string()), ["b", None, "a", "b"]),
        (pa.large_string(), ["b", None, "", "b"]),
    ],
)
def test_groups_of_other_types(kind: pa.DataType, values: list[Any], tmp_path: Path):
    rows = [scored(-1.0 - i, 1, 1, key=value) for i, value in enumerate(values)]
    found = thresholds(folder_of(rows, tmp_path, kept=[("key", kind)], size=2), "logprob", "key")
    assert [(group.value, group.documents) for group in found.groups] == [(values[2], 1), (values[0], 2), (None, 1)]


def test_rows_of_an_unknown_group_have_no_quantile(tmp_path: Path):
    found = thresholds(folder_of([scored(-1.0, 1, 1, lang="en")], tmp_path), "logprob", "lang")
    other = pa.Table.from_pylist([scored(-1.0, 1, 1, lang=lang) for lang in ("de", "en", None)], schema=schema(LANG))
    assert found.quantiles(other).to_pylist() == [None, "head", None]


def test_columns_that_the_users_table_has_too(tmp_path: Path):
    """The user's `error` and `quantile` are not ours."""
    rows = []
    for i in range(4):
        row = scored(-1.0 - i, 1, 1)
        rows.append({"quantile": "mine", **row, "error": "mine", "error_chainrule": "bad" if i == 3 else None})
    kept = [("quantile", pa.string()), ("error", pa.string())]
    parts = folder_of(rows, tmp_path, kept=kept, suffixed=["error"])
    assert parts.ours("error") == "error_chainrule"
    found = thresholds(parts, "logprob")
    assert found.groups == (Bounds(None, 3, pytest.approx(-7 / 3), pytest.approx(-5 / 3)),)
    table = found.with_quantiles(pa.concat_tables(parts.tables()))
    assert table["quantile"].to_pylist() == ["mine"] * 4
    assert table["quantile_chainrule"].to_pylist() == ["tail", "middle", "head", None]


def test_our_column_is_the_last(tmp_path: Path):
    """The user has a column with our suffix, and no column of our name."""
    rows = [scored(-1.0, 1, 1, error_chainrule="mine")]
    parts = folder_of(rows, tmp_path, kept=[("error_chainrule", pa.string())])
    assert parts.ours("error") == "error"


def test_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    rows = [scored(-1.0, 1, 1, lang=f"{i}", score=0.5) for i in range(5)]
    parts = folder_of(rows, tmp_path, kept=[*LANG, ("score", pa.float64())])
    with pytest.raises(InputError, match=r"no column 'bit_per_byte' \(did you mean 'bits_per_byte'\?\); the columns are: lang"):
        thresholds(parts, "bit_per_byte")
    with pytest.raises(InputError, match="'lang' has type string, not numbers: use one of numbers"):
        thresholds(parts, "lang")
    with pytest.raises(InputError, match="no column 'language'"):
        thresholds(parts, "tokens", "language")
    with pytest.raises(InputError, match="'score' has type double: group by a column of texts"):
        thresholds(parts, "tokens", "score")
    monkeypatch.setattr(groups, "MOST", 4)
    with pytest.raises(InputError, match="'lang' has more than 4 values: group by a column with fewer"):
        thresholds(parts, "tokens", "lang")
    monkeypatch.setattr(groups, "MOST", 5)
    assert len(thresholds(parts, "tokens", "lang").groups) == 5


def test_folders_without_usable_parts(tmp_path: Path):
    with pytest.raises(InputError, match="cannot read the folder"):
        Parts(tmp_path / "none")
    (tmp_path / "_part-00000-00000.parquet").write_bytes(b"")
    with pytest.raises(InputError, match="has no parts"):
        Parts(tmp_path)
    (tmp_path / "part-00000-00000.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match="it is not Parquet, or it is damaged"):
        Parts(tmp_path)
    write(tmp_path / "two", [[scored(-1.0, 1, 1)]] * 2, schema())
    write(tmp_path / "two", [[scored(-1.0, 1, 1, lang="en")]], schema(LANG))
    with pytest.raises(InputError, match=r"part-00000-00001.parquet has other columns than part-00000-00000.parquet"):
        thresholds(Parts(tmp_path / "two"), "tokens")


def test_the_order_of_parts(tmp_path: Path):
    for name in ("part-2-0", "part-10-0", "part-2-1", "part-00001-00000"):
        (tmp_path / f"{name}.parquet").symlink_to(write(tmp_path / name, [[]], schema()) / "part-00000-00000.parquet")
    assert [path.stem for path in Parts(tmp_path).paths] == ["part-00001-00000", "part-2-0", "part-2-1", "part-10-0"]
