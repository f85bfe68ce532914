"""The meaning of symbols: the token that each is scored as, and the input of the network for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from model_zoo import tiny, tiny_any_order

from chainrule.engine.inputs.node_inputs import PositionedTokens, Tokens, TokensAndEmbeddings


def ints(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


@pytest.fixture
def embedded() -> TokensAndEmbeddings:
    draw = torch.Generator().manual_seed(0)
    return TokensAndEmbeddings(torch.randn(3, 32, generator=draw), ints(11, 12, 13))


def test_a_token_symbol_is_its_own_id():
    model = tiny("llama").lm.model
    assert Tokens().tokens(ints(5, 0, 60)).tolist() == [5, 0, 60]
    table = tiny("llama").own.get_input_embeddings().weight
    assert torch.equal(Tokens().inputs(model, ints(5, 0, 60)), table[[5, 0, 60]])


def test_a_negative_symbol_selects_a_row_of_the_embeddings(embedded: TokensAndEmbeddings):
    symbols = ints(-3, 5, -1, -2, 0)
    assert embedded.tokens(symbols).tolist() == [13, 5, 11, 12, 0]
    table = tiny("llama").own.get_input_embeddings().weight
    want = torch.stack([embedded.embedding_MD[2], table[5], embedded.embedding_MD[0], embedded.embedding_MD[1], table[0]])
    assert torch.equal(embedded.inputs(tiny("llama").lm.model, symbols), want)


def test_embeddings_are_converted_to_the_models_dtype(embedded: TokensAndEmbeddings):
    result = embedded.inputs(tiny("llama", "bfloat16").lm.model, ints(-1))
    assert result.dtype == torch.bfloat16
    assert torch.equal(result[0], embedded.embedding_MD[0].bfloat16())


def test_the_models_own_table_is_not_modified(embedded: TokensAndEmbeddings):
    model: Any = tiny("llama").lm.model
    before = model.lm.get_input_embeddings().weight.clone()
    embedded.inputs(model, ints(0, -1, -2))
    assert torch.equal(model.lm.get_input_embeddings().weight, before)


def test_symbols_are_equal_if_their_triples_are_equal():
    triples = np.array([[4, 0, 1], [4, 0, 2], [4, 1, 1], [5, 0, 1], [4, 0, 1], [9, -1, 0]])
    alphabet, symbol_N = PositionedTokens.of(triples)
    assert symbol_N[0] == symbol_N[4]
    assert len(set(symbol_N.tolist())) == len(alphabet.triple_U3) == 5
    assert alphabet.triple_U3[symbol_N].tolist() == triples.tolist()
    assert alphabet.tokens(symbol_N).tolist() == triples[:, 0].tolist()


def test_inputs_depend_on_tokens_positions_and_targets():
    model: Any = tiny_any_order("llama").lm.model
    alphabet, symbol_N = PositionedTokens.of(np.array([[4, 0, 1], [4, 3, 1], [4, 0, 2], [7, -1, 0]]))
    result = alphabet.inputs(model, symbol_N)
    alone = [model.placed(*(torch.tensor([n]) for n in triple))[0] for triple in alphabet.triple_U3[symbol_N].tolist()]
    assert torch.equal(result, torch.stack(alone))
    assert len({tuple(row.tolist()) for row in result}) == 4  # each part of a triple changes the input
