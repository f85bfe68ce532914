"""One growing path against the model's own forward of the whole path, after each extension."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from model_zoo import BATCH, CONFIGS, V, tiny
from oracle import conditionals

from chainrule import LanguageModel, ModelError, TableModel
from chainrule.engine.decoding import stepper
from chainrule.engine.decoding.stepper import Stepper

FLOAT32 = 2e-5  # nats, as in test_engine
PARTS = [[0], [7, 30, 30], [2], [11], [45, 9, 9, 9, 1, 2], [60]]


@pytest.mark.parametrize("name", CONFIGS)
def test_each_extension_equals_the_own_forward_of_the_whole_path(name: str, kernels: str):
    model = tiny(name)
    path, ids = Stepper(model.lm.engine, 13), []
    for part in PARTS:
        ids += part
        result = path.feed(part)
        assert result.shape == (V,)
        assert np.abs(result - conditionals(model.own, ids)[-1]).max() < FLOAT32
        assert path.ids == ids


def test_a_path_that_outgrows_its_buffers(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(stepper, "_INITIAL", 3)
    model, ids = tiny("llama"), np.random.default_rng(0).integers(0, V, 30).tolist()
    path = Stepper(model.lm.engine, 30)
    result = [path.feed(ids[:3]), *(path.feed([id]) for id in ids[3:])]
    assert np.abs(np.stack(result) - conditionals(model.own, ids)[2:]).max() < FLOAT32


def test_a_prefix_larger_than_the_initial_buffers(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(stepper, "_INITIAL", 3)
    model, ids = tiny("llama"), [0, 7, 30, 30, 2]
    result = Stepper(model.lm.engine, 30).feed(ids)
    assert np.abs(result - conditionals(model.own, ids)[-1]).max() < FLOAT32


def test_a_token_costs_one_row_if_keys_are_cached(monkeypatch: pytest.MonkeyPatch):
    for name, want in (("llama", [3, 1, 2]), (next(iter(BATCH)), [3, 4, 6])):
        model, lengths = tiny(name).lm.model, []
        hidden = model.hidden
        monkeypatch.setattr(model, "hidden", lambda x, h=hidden, n=lengths, **o: n.append(x.shape[1]) or h(x, **o))
        path = Stepper(tiny(name).lm.engine, 9)
        for part in ([0, 1, 2], [3], [4, 5]):
            path.feed(part)
        assert lengths == want


def test_a_table_model():
    lm = LanguageModel(TableModel(["A", "B"], {"": [0, 0], "A": [10, 0], "B": [1, 1]}))
    path = Stepper(lm.engine, 3)
    assert np.allclose(np.exp(path.feed([lm.start.id])), [0.5, 0.5])
    assert np.allclose(np.exp(path.feed([0])), [1 / (1 + np.exp(-10)), 1 / (1 + np.exp(10))])


def test_tokens_that_do_not_fit_are_refused():
    path = Stepper(tiny("llama").lm.engine, 4)
    with pytest.raises(ValueError, match="0 tokens do not fit after 0 of a path of 4"):
        path.feed([])
    path.feed([0, 1, 2])
    with pytest.raises(ValueError, match="2 tokens do not fit after 3 of a path of 4"):
        path.feed([3, 4])
    assert path.ids == [0, 1, 2]
    path.feed([3])


def test_nan_raises_model_error(monkeypatch: pytest.MonkeyPatch):
    lm = tiny("llama").lm
    hidden = lm.model.hidden
    monkeypatch.setattr(lm.model, "hidden", lambda x, **o: hidden(x, **o) * torch.nan)
    with pytest.raises(ModelError, match="gave NaN"):
        Stepper(lm.engine, 2).feed([0])
