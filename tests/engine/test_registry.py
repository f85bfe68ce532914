"""Which engine, and which chain, goes with which kind of model."""

from __future__ import annotations

import pytest
from masked_zoo import masked, two_stream
from model_zoo import tiny, tiny_any_order

from chainrule import InputError, LanguageModel, TableModel
from chainrule.engine.engine import Engine
from chainrule.engine.predictors.any_order import AnyOrderChain
from chainrule.engine.predictors.marginal import MarginalChain
from chainrule.engine.predictors.masked import MaskedChain
from chainrule.engine.predictors.registry import chain_for, chain_of, engine_of, orderless
from chainrule.engine.predictors.two_stream import TwoStreamChain

TABLE = TableModel(["A", "B"], {"": [0, 0]}, back_off=True)


def test_a_model_with_a_next_token_has_an_engine():
    """A network by the way that was found for it, a table in batches; one without a next token has none."""
    assert engine_of(TABLE).path == "batch"
    assert engine_of(TABLE).model is TABLE
    assert engine_of(tiny("llama").lm.model).path == "forest"
    assert engine_of(tiny("mamba").lm.model).path == "batch"
    assert engine_of(masked("bert").lm.model) is None
    assert engine_of(two_stream().lm.model) is None


def test_a_model_that_predicts_in_any_order_has_a_chain_of_its_own():
    any_order, bert, xlnet = tiny_any_order("llama").lm, masked("bert").lm, two_stream().lm
    assert type(chain_of(any_order.model, None, any_order.engine)) is AnyOrderChain
    assert chain_of(any_order.model, None, any_order.engine).engine is any_order.engine
    assert type(chain_of(bert.model, bert.tokenizer, None)) is MaskedChain
    assert type(chain_of(xlnet.model, None, None)) is TwoStreamChain
    llama = tiny("llama").lm
    assert chain_of(llama.model, None, llama.engine) is None
    assert chain_of(TABLE, None, engine_of(TABLE)) is None


def test_a_causal_model_goes_in_any_order_by_sums():
    engine = Engine(TABLE, "batch")
    made = chain_for(engine)
    assert type(made) is MarginalChain
    assert made.engine is engine
    own = masked("bert").lm.chain
    assert chain_for(own) is own


def test_which_chains_do_not_ask_in_what_order_something_became_known():
    for chain in (masked("bert").lm.chain, chain_for(Engine(TABLE, "batch"))):
        assert orderless(chain) is chain
    for lm in (tiny_any_order("llama").lm, two_stream().lm):
        with pytest.raises(InputError, match="has no one probability of a token given all others"):
            orderless(lm.chain)


def test_a_language_model_is_made_of_these():
    lm = LanguageModel(TABLE)
    assert type(lm.engine) is Engine
    assert (lm.engine.model, lm.engine.path) == (TABLE, "batch")
