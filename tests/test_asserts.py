"""Contracts are checked by exceptions, not by assert statements, which `python -O` removes."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars
import pytest
import torch
from model_zoo import tiny

import chainrule
from chainrule import LanguageModel, TableModel
from chainrule.engine.attention import triton
from chainrule.engine.decoding.tree import ForestTree, token_feed
from chainrule.files import csv_rows
from chainrule.verify.references import ModelUnderTest

SOURCE = Path(chainrule.__file__).parent


def asserts(source: str) -> list[int]:
    return [node.lineno for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Assert)]


def test_asserts_finds_an_assert():
    assert asserts("def f(x):\n    if x:\n        assert x, 'y'\n") == [3]


def test_the_source_has_no_assert():
    files = sorted(SOURCE.rglob("*.py"))
    assert len(files) > 100
    lines = [f"{file.relative_to(SOURCE)}:{line}" for file in files for line in asserts(file.read_text(encoding="utf-8"))]
    assert lines == []


def test_a_tree_without_a_prefix():
    engine = tiny("llama").lm.engine
    with pytest.raises(ValueError, match="a prefix needs at least one token"):
        ForestTree(engine, [], token_feed(engine)).root()


def test_heads_without_a_suitable_tile(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(triton, "tile_of", lambda *_: None)
    layout: Any = None
    with pytest.raises(ValueError, match=r"no tile fits heads 4 and 6 wide of torch\.float32"):
        triton.triton_attend(layout, torch.zeros(1, 2, 3, 4), torch.zeros(3, 1, 4), torch.zeros(3, 1, 6))


def test_a_table_that_polars_does_not_convert_to_a_frame(abc: LanguageModel, monkeypatch: pytest.MonkeyPatch):
    scores = abc.score_batch(["A"])
    assert isinstance(scores.to_polars(), polars.DataFrame)
    monkeypatch.setattr(polars, "from_arrow", lambda _: polars.Series([1]))
    with pytest.raises(TypeError, match="returned a Series for a table, not a DataFrame"):
        scores.to_polars()


@pytest.mark.parametrize("spec", [None, SimpleNamespace(loader=None)])
def test_a_python_without_csv(spec: object, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: spec)
    with pytest.raises(ImportError, match="no module _csv"):
        csv_rows._module.__wrapped__()


def test_a_table_is_not_widened():
    lm = LanguageModel(TableModel(["A", "B"], {"": [0, 0]}, back_off=True))
    with pytest.raises(TypeError, match="a TableModel has no weights to widen"):
        ModelUnderTest.trial(SimpleNamespace(model=lm.model), torch.float64)  # pyrefly: ignore
