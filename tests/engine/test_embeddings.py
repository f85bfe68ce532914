"""Embeddings in place of token ids: the search for their tokens, and conditioning on them."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from model_zoo import START, V, tiny, untouched, wrap
from transformers import LlamaConfig

from chainrule import InputError, LanguageModel, TableModel
from chainrule.engine.inputs import embeddings
from chainrule.engine.inputs.embeddings import tokens_of

WIDTH = 32
FLOAT32 = 2e-5  # nats

pytestmark = pytest.mark.filterwarnings("ignore:the tokens begin with the start symbol")  # random ids sometimes do


@given(st.lists(st.integers(0, V - 1), min_size=1, max_size=80))
@pytest.mark.parametrize("block", [1, 7, 8192])
def test_every_row_of_the_table_is_found(block: int, ids: list[int]):
    lm = tiny("llama").lm
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embeddings, "_BLOCK", block)
        assert tokens_of(lm.model, lm.embed(ids)) == ids


def test_the_first_of_equal_rows_is_taken():
    own = untouched(LlamaConfig(vocab_size=V, hidden_size=WIDTH, intermediate_size=48, num_hidden_layers=1,
                                num_attention_heads=4, bos_token_id=START))  # fmt: skip
    table = own.get_input_embeddings().weight
    with torch.no_grad():
        table[40] = table[17]
        table[41] = table[18]
        table[41, 5] += 1  # nearly equal: only one number differs
    lm = wrap(own)
    assert lm.score(embeddings=lm.embed([40, 17, 18, 41])).ids.tolist() == [17, 17, 18, 41]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
def test_tokens_are_found_in_every_dtype(dtype: str):
    lm, ids = tiny("gpt2", dtype).lm, [3, 60, 0, 3]
    table = lm.embed(ids)
    assert table.dtype == lm.model.dtype
    assert tokens_of(lm.model, table.double()) == ids


def test_wider_embeddings_match_the_tokens_that_they_round_to():
    """As in the engine, which rounds them too."""
    wide, narrow, ids = tiny("gpt2").lm, tiny("gpt2", "bfloat16").lm, [3, 60, 0, 3]
    assert not torch.equal(wide.embed(ids), narrow.embed(ids).float())
    assert narrow.score(embeddings=wide.embed(ids)).logprobs.tolist() == narrow.score(ids).logprobs.tolist()


def test_the_error_names_a_vector_that_is_not_in_the_table():
    lm = tiny("llama").lm
    table = lm.embed([5, 6, 7])
    table[1, 31] += 1e-3
    with pytest.raises(InputError, match=r"row 1 of the embeddings.*score\(ids, embeddings=\.\.\.\)"):
        lm.score(embeddings=table)


def test_nan_matches_no_token():
    lm = tiny("llama").lm
    with pytest.raises(InputError, match="row 0 of the embeddings"):
        lm.score(embeddings=torch.full((2, WIDTH), torch.nan))


@pytest.mark.parametrize(
    "table",
    [
        torch.zeros(3, WIDTH + 1),
        torch.zeros(WIDTH),
        torch.zeros(1, 3, WIDTH),
        torch.zeros(3, WIDTH, dtype=torch.long),
        np.zeros((3, 1)),
        [[0.5] * (WIDTH - 1)],
    ],
    ids=["wide", "vector", "batch", "whole numbers", "narrow", "list"],
)
def test_a_wrong_shape_or_dtype_is_refused_with_the_expected_shape(table: object):
    with pytest.raises(InputError, match=r"of shape \(T, 32\)"):
        tiny("llama").lm.score(embeddings=table)


@pytest.mark.parametrize("ids", [[5], [5, 6, 7]])
def test_ids_and_embeddings_must_have_equal_lengths(ids: list[int]):
    lm = tiny("llama").lm
    with pytest.raises(InputError, match=f"2 embeddings were passed with {len(ids)} token ids"):
        lm.score(ids, embeddings=lm.embed([5, 6]))


def test_empty_embeddings_are_refused():
    with pytest.raises(InputError):
        tiny("llama").lm.score(embeddings=torch.zeros(0, WIDTH))


def test_embeddings_with_a_context_are_refused():
    lm = tiny("llama").lm
    with pytest.raises(InputError, match="put the context's embeddings before them"):
        lm.score(embeddings=lm.embed([5, 6]), context=[1])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_arguments_are_not_modified_and_results_are_copies(dtype: str):
    lm = tiny("llama", dtype).lm
    table = lm.embed([5, 6, 7])
    before = table.clone()
    lm.score(embeddings=table, end=True)
    table[:] = 0  # the result of embed is a copy
    assert torch.equal(lm.embed([5, 6, 7]), before)


def test_embeddings_with_an_end_and_with_a_given_start():
    lm, ids = tiny("llama").lm, [5, 6, 7, 8]
    for options in ({"end": True}, {"start": "given"}, {"start": 9, "end": 3}, {"top": 2}):
        want, result = lm.score(ids, **options), lm.score(embeddings=lm.embed(ids), **options)
        assert result.ids.tolist() == want.ids.tolist()
        assert np.abs(result.logprobs - want.logprobs).max() < FLOAT32


@pytest.mark.parametrize("name", ["mistral", "opt", "mamba"])
def test_factors_depend_on_all_embeddings_but_the_last(name: str):
    lm, ids = tiny(name).lm, [5, 6, 7, 8]
    want = lm.score(ids).logprobs
    table = lm.embed(ids)
    noise = torch.randn(2, WIDTH, generator=torch.Generator().manual_seed(0))
    table[3] += noise[0]
    assert np.abs(lm.score(ids, embeddings=table).logprobs - want).max() < FLOAT32
    table[1] += noise[1]
    change = np.abs(lm.score(ids, embeddings=table).logprobs - want)
    assert change[:2].max() < FLOAT32
    assert change[2:].min() > 1e-3


def test_windows_over_embeddings_equal_windows_over_ids():
    lm = tiny("llama").lm
    ids = np.random.default_rng(0).integers(0, V, 200).tolist()
    want, result = lm.score(ids, window=20, stride=7), lm.score(embeddings=lm.embed(ids), window=20, stride=7)
    assert result.contexts.tolist() == want.contexts.tolist()
    assert np.abs(result.logprobs - want.logprobs).max() < FLOAT32


def test_a_table_has_one_hot_embeddings():
    lm = LanguageModel(TableModel(["A", "B"], {"": [0.5, 0.5], "A": [0.25, 0.75]}, probabilities=True))
    assert lm.embed([1, 0]).tolist() == [[0, 1, 0], [1, 0, 0]]
    assert np.exp(lm.score(embeddings=lm.embed([0, 1])).logprob) == pytest.approx(0.375)


@pytest.mark.parametrize("ids", [[V], [-1], [1.5]])
def test_only_tokens_have_embeddings(ids: list):
    with pytest.raises(InputError):
        tiny("llama").lm.embed(ids)
