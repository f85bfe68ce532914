"""The kind of a model, and its predictor."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from masked_zoo import masked, two_stream
from model_zoo import tiny, tiny_any_order

from chainrule import InputError, LanguageModel, TableModel
from chainrule.engine.engine import Engine
from chainrule.engine.predictors.any_order import AnyOrderPredictor
from chainrule.engine.predictors.base import Cloze
from chainrule.engine.predictors.causal import CausalPredictor
from chainrule.engine.predictors.marginal import MarginalPredictor
from chainrule.engine.predictors.masked import MaskedPredictor
from chainrule.engine.predictors.registry import KINDS, kind_of, predictor_of, wrap
from chainrule.engine.predictors.two_stream import TwoStreamPredictor

TABLE = TableModel(["A", "B"], {"": [0, 0]}, back_off=True)
IDS = np.array([0, 1])
NETWORKS: dict[str, Any] = {
    "any-order": lambda: tiny_any_order("llama"),
    "two-stream": two_stream,
    "masked": lambda: masked("bert"),
    "causal": lambda: tiny("llama"),
}
PREDICTORS = {
    "any-order": AnyOrderPredictor,
    "two-stream": TwoStreamPredictor,
    "masked": MaskedPredictor,
    "causal": CausalPredictor,
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_is_recognised_and_wrapped_as_its_kind(name: str):
    tiny_model = NETWORKS[name]()
    kind = next(kind for kind in KINDS if kind.name == name)
    assert next(each.name for each in KINDS if each.recognises(tiny_model.own)) == name
    assert type(wrap(tiny_model.own, "it")) is kind.model
    assert kind_of(tiny_model.lm.model) is kind
    assert kind.network


@pytest.mark.parametrize("name", NETWORKS)
def test_each_kind_has_a_predictor_of_its_own(name: str):
    lm = NETWORKS[name]().lm
    engine = getattr(lm.predictor, "engine", None)
    predictor = predictor_of(lm.model, lm.tokenizer, engine)
    assert type(predictor) is PREDICTORS[name]
    assert getattr(predictor, "engine", None) is engine  # an already chosen engine is kept


def test_a_network_without_a_chosen_engine_is_probed():
    assert predictor_of(tiny("llama").lm.model, None).strategy == "forest"
    assert predictor_of(tiny("mamba").lm.model, None).strategy == "batch"


def test_tables_and_other_classes_run_in_batches():
    table = predictor_of(TABLE, None)
    assert type(table) is CausalPredictor
    assert (kind_of(TABLE).name, kind_of(TABLE).network, table.strategy) == ("table", False, "batch")
    assert kind_of(TABLE).own_tokenizer(TABLE).encode("AB").tolist() == [0, 1]
    assert kind_of(object()).name == "own"
    assert kind_of(object()).own_tokenizer(object()) is None


def test_only_a_causal_model_uses_sums_for_any_order():
    causal = CausalPredictor(Engine(TABLE, "batch"))
    assert type(causal.any_order) is MarginalPredictor
    for name in ("any-order", "two-stream", "masked"):
        predictor = NETWORKS[name]().lm.predictor
        assert predictor.any_order is predictor


def test_predictors_whose_conditionals_do_not_depend_on_the_order():
    sums = LanguageModel(TABLE).predictor.any_order
    assert bool(sums.accepts.pseudo)
    assert bool(masked("bert").lm.predictor.accepts.pseudo)
    for lm in (tiny_any_order("llama").lm, two_stream().lm):
        assert not lm.predictor.accepts.pseudo
        with pytest.raises(InputError, match="has no unique probability of a token given all others"):
            lm.predictor.answer([Cloze(IDS, IDS[:1], 1)], IDS[1:])
