"""Continuations of one prefix, extended in any order, against the model's own forward of each whole sequence."""

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
PREFIX = [0, 7, 30, 30, 2, 11, 45]


class Record:
    """A decoding tree, with the tokens and the distribution of every node."""

    def __init__(self, tree, prefix) -> None:
        self.tree, self.ids = tree, {0: list(prefix)}
        self.logprobs = {0: tree.root().logprobs(0).numpy()}

    def extend(self, parents, tokens) -> None:
        added = self.tree.extend(parents, tokens)
        for row, (node, parent, token) in enumerate(zip(added.nodes, parents, tokens, strict=True)):
            self.ids[node] = [*self.ids[parent], token]
            self.logprobs[node] = added.logprobs(row).numpy()

    def error(self, own) -> float:
        return max(float(np.abs(conditionals(own, ids)[-1] - self.logprobs[node]).max()) for node, ids in self.ids.items())


def branch_and_return(record: Record) -> None:
    """A fork, rows of different depths in one call, and a return to an earlier branch."""
    record.extend([0, 0, 0], [5, 6, 5])
    record.extend([1, 2], [9, 9])
    record.extend([4, 3, 0], [8, 1, 60])
    record.extend([6], [3])
    record.extend([8, 1, 2, 7], [12, 13, 14, 15])


@pytest.mark.parametrize("name", CONFIGS)
def test_every_node_has_the_distribution_of_its_own_sequence(name, kernels):
    model = tiny(name)
    record = Record(model.lm.predictor.tree(PREFIX), PREFIX)
    branch_and_return(record)
    assert len(record.ids) == 1 + 3 + 2 + 3 + 1 + 4
    assert record.error(model.own) < FLOAT32


@pytest.mark.parametrize(("name", "most"), [("gpt2", FLOAT64), ("opt", FLOAT64), ("llama", 1e-6), ("gemma2", 1e-6)])
def test_float64_trees_are_accurate(name, most):
    """The other models round to float32 within their own float64 forward: 1e-7 of a logit."""
    model = tiny(name, "float64")
    record = Record(model.lm.predictor.tree(PREFIX), PREFIX)
    branch_and_return(record)
    assert record.error(model.own) < most


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, V - 1)), min_size=1, max_size=24), st.integers(1, 4))
def test_any_order_of_extensions(nodes, count):
    model = tiny("mistral")
    record = Record(model.lm.predictor.tree(PREFIX[:2]), PREFIX[:2])
    for first in range(0, len(nodes), count):
        some = nodes[first : first + count]
        record.extend([parent % len(record.ids) for parent, _ in some], [token for _, token in some])
    assert record.error(model.own) < FLOAT32


def test_a_prefix_longer_than_a_chunk_and_paths_longer_than_the_buffers(monkeypatch):
    """The prefix is computed in chunks of 16 rows, and the buffers are enlarged as rows are added."""
    monkeypatch.setattr("chainrule.engine.decoding.tree.usual_rows", lambda *_: 16)
    model = tiny("llama")
    prefix = np.random.default_rng(0).integers(0, V, 50).tolist()
    tree = model.lm.predictor.tree(prefix)
    tree._cache = KVCache(52)
    record = Record(tree, prefix)
    for i in range(40):
        record.extend([i, i] if i else [0], [i % V, 60 - i] if i else [3])
    assert record.error(model.own) < FLOAT32


def test_a_token_costs_one_row(monkeypatch):
    lm = tiny("llama").lm
    lengths, hidden = [], lm.model.hidden
    monkeypatch.setattr(lm.model, "hidden", lambda x, **o: lengths.append(x.shape[1]) or hidden(x, **o))
    tree = lm.predictor.tree(PREFIX)
    tree.root()
    tree.root()
    tree.extend([0, 0], [1, 2])
    tree.extend([1], [1])
    assert lengths == [len(PREFIX), 2, 1]


@pytest.mark.parametrize("name", ["llama", next(iter(BATCH))])
def test_nan_raises_model_error(name, monkeypatch):
    lm = tiny(name).lm
    hidden = lm.model.hidden
    monkeypatch.setattr(lm.model, "hidden", lambda x, **o: hidden(x, **o) * torch.nan)
    with pytest.raises(ModelError, match="gave NaN"):
        lm.predictor.tree(PREFIX).root()


def test_a_tree_over_a_table_model():
    lm = LanguageModel(TableModel(["A", "B"], {"": [0, 0], "A": [10, 0], "B": [1, 1]}))
    added = lm.predictor.tree([lm.start.id]).extend([0, 0], [1, 0])
    assert np.allclose(added.logprobs(0).exp(), [0.5, 0.5])
    assert np.allclose(added.logprobs(1).exp(), [1 / (1 + np.exp(-10)), 1 / (1 + np.exp(10))])


def test_forest_models_have_forest_trees_and_others_rerun_trees():
    assert {type(tiny(name).lm.predictor.tree(PREFIX)) for name in FOREST} == {ForestTree}
    assert {type(tiny(name).lm.predictor.tree(PREFIX)) for name in BATCH} == {RerunTree}
