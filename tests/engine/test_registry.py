"""Which kind of model a network is, and what predicts with it."""

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
    made = NETWORKS[name]()
    kind = next(kind for kind in KINDS if kind.name == name)
    assert next(each.name for each in KINDS if each.recognises(made.own)) == name
    assert type(wrap(made.own, "it")) is kind.model
    assert kind_of(made.lm.model) is kind
    assert kind.network


@pytest.mark.parametrize("name", NETWORKS)
def test_each_kind_has_a_predictor_of_its_own(name: str):
    lm = NETWORKS[name]().lm
    engine = getattr(lm.predictor, "engine", None)
    found = predictor_of(lm.model, lm.tokenizer, engine)
    assert type(found) is PREDICTORS[name]
    assert getattr(found, "engine", None) is engine  # one that was chosen already is not chosen again


def test_a_network_is_probed_where_no_engine_was_chosen():
    assert predictor_of(tiny("llama").lm.model, None).strategy == "forest"
    assert predictor_of(tiny("mamba").lm.model, None).strategy == "batch"


def test_a_table_and_what_is_nobodys_kind_run_in_batches():
    table = predictor_of(TABLE, None)
    assert type(table) is CausalPredictor
    assert (kind_of(TABLE).name, kind_of(TABLE).network, table.strategy) == ("table", False, "batch")
    assert kind_of(TABLE).own_tokenizer(TABLE).encode("AB").tolist() == [0, 1]
    assert kind_of(object()).name == "own"
    assert kind_of(object()).own_tokenizer(object()) is None


def test_a_causal_model_goes_in_any_order_by_sums_and_others_by_themselves():
    causal = CausalPredictor(Engine(TABLE, "batch"))
    assert type(causal.any_order) is MarginalPredictor
    for name in ("any-order", "two-stream", "masked"):
        predictor = NETWORKS[name]().lm.predictor
        assert predictor.any_order is predictor


def test_which_predictors_do_not_ask_in_what_order_something_became_known():
    sums = LanguageModel(TABLE).predictor.any_order
    assert bool(sums.accepts.pseudo)
    assert bool(masked("bert").lm.predictor.accepts.pseudo)
    for lm in (tiny_any_order("llama").lm, two_stream().lm):
        assert not lm.predictor.accepts.pseudo
        with pytest.raises(InputError, match="has no unique probability of a token given all others"):
            lm.predictor.answer([Cloze(IDS, IDS[:1], 1)], IDS[1:])
