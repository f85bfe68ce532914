"""Selections: the rows of a folder that satisfy a condition, in a second folder."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from corpus_folders import failed, schema, scored, write

from chainrule import InputError, OutputError
from chainrule.corpus.scored import selection
from chainrule.corpus.scored.parts import Parts
from chainrule.corpus.scored.quantiles import thresholds
from chainrule.corpus.scored.selection import RECORD, Selection, select

KEPT = [
    ("lang", pa.dictionary(pa.int32(), pa.string())),
    ("meta", pa.struct([("url", pa.string())])),
    ("ids", pa.list_(pa.int16())),
]


def row(number: int, lang: str | None) -> dict[str, Any]:
    kept = {"lang": lang, "meta": {"url": f"u{number}"}, "ids": [number]}
    return scored(-float(number + 1), 2, 10, **kept) | {"row": number}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Three parts, of which the second has no English row and the third no rows."""
    first = [row(i, "en" if i % 2 else "de") for i in range(8)]
    second = [row(i, "sw") for i in range(8, 11)] + [failed("bad", lang="en")]
    form = schema(KEPT).with_metadata({"made by": "a test"})
    return write(tmp_path / "scored", [first, second, []], form)


def rows(folder: Path) -> dict[str, list[Any]]:
    """The numbers of the rows of each part."""
    return {path.name: pq.read_table(path)["row"].to_pylist() for path in sorted(folder.glob("part-*.parquet"))}


def test_the_rows_of_a_condition(source: Path, tmp_path: Path):
    parts, target = Parts(source), tmp_path / "new" / "kept"
    result = select(parts, target, "lang == 'en' and row > 1")
    assert result == Selection("scored", "lang == 'en' and row > 1", None, parts=3, rows=12, selected=3)
    assert rows(target) == {
        "part-00000-00000.parquet": [3, 5, 7],
        "part-00000-00001.parquet": [],
        "part-00000-00002.parquet": [],
    }
    for path in parts.paths:
        assert pq.read_schema(target / path.name).equals(pq.read_schema(path), check_metadata=True)
    whole, kept = pa.concat_tables(parts.tables()), pa.concat_tables(Parts(target).tables())
    expected = [r for r in whole.to_pylist() if r["lang"] == "en" and r["row"] is not None and r["row"] > 1]
    assert kept.to_pylist() == expected
    assert sorted(os.listdir(target)) == [RECORD, *(path.name for path in parts.paths)]


def test_the_record_names_no_path(source: Path, tmp_path: Path):
    parts, target = Parts(source), tmp_path / "kept"
    own = thresholds(parts, "tokens", "lang")
    select(parts, target, "quantile == 'head'", own)
    record = json.loads((target / RECORD).read_text())
    assert record == {
        "source": "scored",
        "where": "quantile == 'head'",
        "quantiles": own.to_dict(),
        "parts": 3,
        "rows": 12,
        "selected": 11,
        "complete": True,
    }
    assert str(tmp_path) not in (target / RECORD).read_text()


def test_quantiles_are_added_and_can_be_named(source: Path, tmp_path: Path):
    parts = Parts(source)
    own = thresholds(parts, "bits_per_byte")
    result = select(parts, tmp_path / "all", thresholds=own)
    assert (result.rows, result.selected) == (12, 12)
    table = pa.concat_tables(Parts(tmp_path / "all").tables())
    labels = ["head"] * 4 + ["middle"] * 3 + ["tail"] * 4 + [None]
    assert table.column_names[-1] == "quantile"
    assert table["quantile"].to_pylist() == labels
    assert table.schema.metadata == {b"made by": b"a test"}
    select(parts, tmp_path / "tail", "quantile == 'tail' and lang != 'en'", own)
    assert [r for part in rows(tmp_path / "tail").values() for r in part] == [8, 9, 10]


def test_a_second_run_writes_all_parts_again(source: Path, tmp_path: Path):
    target = tmp_path / "kept"
    select(Parts(source), target, "row >= 0")
    first = {path.name: path.read_bytes() for path in target.iterdir()}
    (target / "part-00000-00000.parquet").write_bytes(b"damaged")
    (target / "_notes.parquet").write_bytes(b"mine")
    select(Parts(source), target, "row >= 0")
    assert {path.name: path.read_bytes() for path in target.iterdir() if path.name != "_notes.parquet"} == first
    (source / "part-00000-00001.parquet").unlink()
    result = select(Parts(source), target, "lang == 'de'")
    assert result.selected == 4
    assert rows(target) == {"part-00000-00000.parquet": [0, 2, 4, 6], "part-00000-00002.parquet": []}
    assert (target / "_notes.parquet").read_bytes() == b"mine"


def test_an_interrupted_run_can_be_repeated(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    target, calls = tmp_path / "kept", []
    copy = selection._copy

    def interrupted(*arguments: Any) -> tuple[int, int]:
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return copy(*arguments)

    monkeypatch.setattr(selection, "_copy", interrupted)
    with pytest.raises(KeyboardInterrupt):
        select(Parts(source), target, "row >= 0")
    assert json.loads((target / RECORD).read_text()) == {"source": "scored", "complete": False}
    assert sorted(os.listdir(target)) == [RECORD, "part-00000-00000.parquet"]
    assert select(Parts(source), target, "row >= 0").selected == 12


def test_a_damaged_part_leaves_no_half_part(source: Path, tmp_path: Path):
    whole = (source / "part-00000-00001.parquet").read_bytes()
    (source / "part-00000-00001.parquet").write_bytes(whole[:4] + bytes(len(whole) - 4))
    with pytest.raises(InputError, match=r"part-00000-00001.parquet: it is not Parquet, or it is damaged"):
        select(Parts(source), tmp_path / "kept", "row >= 0")
    assert sorted(os.listdir(tmp_path / "kept")) == [RECORD, "part-00000-00000.parquet"]


def test_refused_folders(source: Path, tmp_path: Path):
    parts = Parts(source)
    (tmp_path / "link").symlink_to(source)
    for own in (source, tmp_path / "link", source / ".." / "scored"):
        with pytest.raises(OutputError, match="is the folder that is read"):
            select(parts, own, "row >= 0")
    other = write(tmp_path / "other", [[row(0, "en")]], schema(KEPT))
    with pytest.raises(OutputError, match=r"has Parquet files that are not of a selection, such as part-00000-00000.parquet"):
        select(parts, other, "row >= 0")
    select(parts, tmp_path / "kept", "row >= 0")
    with pytest.raises(OutputError, match="has a selection from 'scored', not from 'other'"):
        select(Parts(other), tmp_path / "kept", "row >= 0")
    (tmp_path / "kept" / "mine.Parquet").write_bytes(b"")
    with pytest.raises(OutputError, match=r"such as mine.Parquet"):
        select(parts, tmp_path / "kept", "row >= 0")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="cannot write to the folder"):
        select(parts, tmp_path / "file", "row >= 0")
    assert rows(other) == {"part-00000-00000.parquet": [0]}
    assert len(rows(source)) == 3


def test_mistakes_are_found_before_anything_is_written(source: Path, tmp_path: Path):
    with pytest.raises(InputError, match="nothing is selected"):
        select(Parts(source), tmp_path / "kept")
    with pytest.raises(InputError, match="no column 'quantile'"):
        select(Parts(source), tmp_path / "kept", "quantile == 'head'")
    assert not (tmp_path / "kept").exists()
