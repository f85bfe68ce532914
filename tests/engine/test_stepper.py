"""One path that grows, against the model's own forward of the whole of it, each time."""

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
def test_each_step_is_the_own_forward_of_all_that_came(name: str, kernels: str):
    model = tiny(name)
    grown, ids = Stepper(model.lm.engine, 13), []
    for part in PARTS:
        ids += part
        found = grown.feed(part)
        assert found.shape == (V,)
        assert np.abs(found - conditionals(model.own, ids)[-1]).max() < FLOAT32
        assert grown.ids == ids


def test_a_path_beyond_the_room_of_its_buffers(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(stepper, "_AT_FIRST", 3)
    model, ids = tiny("llama"), np.random.default_rng(0).integers(0, V, 30).tolist()
    grown = Stepper(model.lm.engine, 30)
    found = [grown.feed(ids[:3]), *(grown.feed([id]) for id in ids[3:])]
    assert np.abs(np.stack(found) - conditionals(model.own, ids)[2:]).max() < FLOAT32


def test_a_beginning_beyond_the_room_of_its_buffers(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(stepper, "_AT_FIRST", 3)
    model, ids = tiny("llama"), [0, 7, 30, 30, 2]
    found = Stepper(model.lm.engine, 30).feed(ids)
    assert np.abs(found - conditionals(model.own, ids)[-1]).max() < FLOAT32


def test_a_token_costs_one_row_where_keys_are_carried(monkeypatch: pytest.MonkeyPatch):
    for name, want in (("llama", [3, 1, 2]), (next(iter(BATCH)), [3, 4, 6])):
        model, seen = tiny(name).lm.model, []
        hidden = model.hidden
        monkeypatch.setattr(model, "hidden", lambda x, h=hidden, s=seen, **o: s.append(x.shape[1]) or h(x, **o))
        grown = Stepper(tiny(name).lm.engine, 9)
        for part in ([0, 1, 2], [3], [4, 5]):
            grown.feed(part)
        assert seen == want


def test_a_table():
    lm = LanguageModel(TableModel(["A", "B"], {"": [0, 0], "A": [10, 0], "B": [1, 1]}))
    grown = Stepper(lm.engine, 3)
    assert np.allclose(np.exp(grown.feed([lm.start.id])), [0.5, 0.5])
    assert np.allclose(np.exp(grown.feed([0])), [1 / (1 + np.exp(-10)), 1 / (1 + np.exp(10))])


def test_what_does_not_fit():
    grown = Stepper(tiny("llama").lm.engine, 4)
    with pytest.raises(ValueError, match="0 tokens do not fit behind 0 of a path of 4"):
        grown.feed([])
    grown.feed([0, 1, 2])
    with pytest.raises(ValueError, match="2 tokens do not fit behind 3 of a path of 4"):
        grown.feed([3, 4])
    assert grown.ids == [0, 1, 2]
    grown.feed([3])


def test_a_number_that_is_none_is_an_error(monkeypatch: pytest.MonkeyPatch):
    lm = tiny("llama").lm
    hidden = lm.model.hidden
    monkeypatch.setattr(lm.model, "hidden", lambda x, **o: hidden(x, **o) * torch.nan)
    with pytest.raises(ModelError, match="gave NaN"):
        Stepper(lm.engine, 2).feed([0])
