"""Continuations of one beginning, extended in any order, against the model's own forward of each whole sequence."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from model_zoo import BATCH, CONFIGS, FOREST, V, tiny
from oracle import conditionals

from chainrule import LanguageModel, ModelError, TableModel
from chainrule.engine.attention.kv_cache import KVCache
from chainrule.engine.decoding.rerun import RerunTree
from chainrule.engine.decoding.tree import ForestTree

FLOAT32, FLOAT64 = 2e-5, 1e-10  # nats, as in test_engine
GIVEN = [0, 7, 30, 30, 2, 11, 45]


class Path:
    """What a node stands for, kept beside the tree."""

    def __init__(self, tree, given) -> None:
        self.tree, self.ids = tree, {0: list(given)}
        self.seen = {0: tree.root().logprobs(0).numpy()}

    def grow(self, parents, tokens) -> None:
        following = self.tree.extend(parents, tokens)
        for row, (node, parent, token) in enumerate(zip(following.nodes, parents, tokens, strict=True)):
            self.ids[node] = [*self.ids[parent], token]
            self.seen[node] = following.logprobs(row).numpy()

    def error(self, own) -> float:
        return max(float(np.abs(conditionals(own, ids)[-1] - self.seen[node]).max()) for node, ids in self.ids.items())


def wander(path: Path) -> None:
    """A fork, rows of different depths in one step, and a branch that was left is taken up again."""
    path.grow([0, 0, 0], [5, 6, 5])
    path.grow([1, 2], [9, 9])
    path.grow([4, 3, 0], [8, 1, 60])
    path.grow([6], [3])
    path.grow([8, 1, 2, 7], [12, 13, 14, 15])


@pytest.mark.parametrize("name", CONFIGS)
def test_every_node_has_the_distribution_of_its_own_sequence(name, kernels):
    model = tiny(name)
    path = Path(model.lm.predictor.tree(GIVEN), GIVEN)
    wander(path)
    assert len(path.ids) == 1 + 3 + 2 + 3 + 1 + 4
    assert path.error(model.own) < FLOAT32


@pytest.mark.parametrize(("name", "most"), [("gpt2", FLOAT64), ("opt", FLOAT64), ("llama", 1e-6), ("gemma2", 1e-6)])
def test_in_float64(name, most):
    """Others round to float32 within their own float64 forward: 1e-7 of a logit."""
    model = tiny(name, "float64")
    path = Path(model.lm.predictor.tree(GIVEN), GIVEN)
    wander(path)
    assert path.error(model.own) < most


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, V - 1)), min_size=1, max_size=24), st.integers(1, 4))
def test_any_growth(steps, together):
    model = tiny("mistral")
    path = Path(model.lm.predictor.tree(GIVEN[:2]), GIVEN[:2])
    for first in range(0, len(steps), together):
        some = steps[first : first + together]
        path.grow([parent % len(path.ids) for parent, _ in some], [token for _, token in some])
    assert path.error(model.own) < FLOAT32


def test_a_path_beyond_the_room_of_its_buffers_and_of_a_chunk(monkeypatch):
    """The beginning in chunks of 16 rows; buffers that are made longer while rows grow."""
    monkeypatch.setattr("chainrule.engine.decoding.tree.usual_rows", lambda *_: 16)
    model = tiny("llama")
    given = np.random.default_rng(0).integers(0, V, 50).tolist()
    tree = model.lm.predictor.tree(given)
    tree._carry = KVCache(52)
    path = Path(tree, given)
    for i in range(40):
        path.grow([i, i] if i else [0], [i % V, 60 - i] if i else [3])
    assert path.error(model.own) < FLOAT32


def test_a_token_costs_one_row(monkeypatch):
    lm = tiny("llama").lm
    seen, hidden = [], lm.model.hidden
    monkeypatch.setattr(lm.model, "hidden", lambda x, **o: seen.append(x.shape[1]) or hidden(x, **o))
    tree = lm.predictor.tree(GIVEN)
    tree.root()
    tree.root()
    tree.extend([0, 0], [1, 2])
    tree.extend([1], [1])
    assert seen == [len(GIVEN), 2, 1]


@pytest.mark.parametrize("name", ["llama", next(iter(BATCH))])
def test_what_is_not_a_number_is_an_error(name, monkeypatch):
    lm = tiny(name).lm
    hidden = lm.model.hidden
    monkeypatch.setattr(lm.model, "hidden", lambda x, **o: hidden(x, **o) * torch.nan)
    with pytest.raises(ModelError, match="gave NaN"):
        lm.predictor.tree(GIVEN).root()


def test_a_table_is_read_row_by_row():
    lm = LanguageModel(TableModel(["A", "B"], {"": [0, 0], "A": [10, 0], "B": [1, 1]}))
    following = lm.predictor.tree([lm.start.id]).extend([0, 0], [1, 0])
    assert np.allclose(following.logprobs(0).exp(), [0.5, 0.5])
    assert np.allclose(following.logprobs(1).exp(), [1 / (1 + np.exp(-10)), 1 / (1 + np.exp(10))])


def test_every_forest_model_grows_row_by_row():
    assert {type(tiny(name).lm.predictor.tree(GIVEN)) for name in FOREST} == {ForestTree}
    assert {type(tiny(name).lm.predictor.tree(GIVEN)) for name in BATCH} == {RerunTree}
