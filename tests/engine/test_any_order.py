"""Models that predict in any order, compared with their own forward, one unpadded sequence at a time."""

from __future__ import annotations

from itertools import pairwise, permutations, product
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from model_zoo import CONFIGS, START, V, tiny, tiny_any_order, untouched, untouched_any_order
from oracle import conditionals_in_order, factors_in_order
from text_zoo import byte_level

import chainrule
from chainrule import AnyOrderConfig, AnyOrderForCausalLM, InputError, LanguageModel, ModelError
from chainrule.engine.predictors.any_order import AnyOrderPredictor
from chainrule.engine.predictors.base import Cloze
from chainrule.engine.selfcheck.probe import choose
from chainrule.forest.permutations import OrderedSequence
from chainrule.models.any_order import AnyOrderModel
from chainrule.verify.code import decode, encode

NAMES = ["llama", "gpt2"]
ORDERS = list(permutations(range(4)))
FLOAT32 = 1e-5  # nats
IDS = [3, 50, 7, 7, 12, 60]
NONE = np.zeros(0, np.int64)

pytestmark = pytest.mark.filterwarnings("ignore:the tokens begin with the start symbol")  # some drawn ids do


def ordered(ids: list[int], order: list[int], given: list[int] | None = None, start: int | None = START) -> OrderedSequence:
    return OrderedSequence(np.array(ids, np.int64), np.array(order, np.int64), np.array(given or [], np.int64), start)


@pytest.mark.parametrize("name", NAMES)
@given(ids=st.lists(st.integers(0, V - 1), min_size=1, max_size=9), data=st.data())
def test_factors_are_those_of_its_own_forward(name: str, ids: list[int], data: st.DataObject):
    """In float64, since for some draws the rounding of float32 weights moves a factor by 1e-5."""
    lm, own = tiny_any_order(name, dtype="float64").lm, tiny_any_order(name, dtype="float64").own
    order = data.draw(st.permutations(range(len(ids))))
    score = lm.score(ids, order=order)
    assert lm.engine.strategy == "forest"
    assert np.abs(score.logprobs - factors_in_order(own, ids, order, START)).max() < 1e-12
    assert score.ids.tolist() == ids
    assert score.contexts.tolist() == [1 + order.index(position) for position in range(len(ids))]


@pytest.mark.parametrize("name", NAMES)
def test_factors_in_float32(name: str):
    lm, own = tiny_any_order(name).lm, tiny_any_order(name).own
    for order in list(permutations(range(len(IDS))))[::17]:
        logprobs = lm.score(IDS, order=list(order)).logprobs
        assert np.abs(logprobs - factors_in_order(own, IDS, list(order), START)).max() < FLOAT32


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("float64", 1e-12)])
def test_in_every_order_all_texts_of_a_length_sum_to_1(name: str, dtype: str, tolerance: float):
    """Four positions and three tokens: 81 texts in 24 orders."""
    lm = tiny_any_order(name, 4, dtype, vocab_size=3, bos_token_id=0, eos_token_id=None).lm
    texts = [list(text) for text in product(range(3), repeat=4)]
    scores = lm.score_batch(texts, order=ORDERS)
    totals = np.exp(scores.logprobs).sum(0)
    assert totals.shape == (24,)
    assert np.abs(totals - 1).max() < tolerance
    assert abs(np.exp(scores.logprob).sum() - 1) < tolerance  # the mean over the orders sums to 1 too
    assert scores.logprob_spread.max() > 0.01  # the orders differ: their joints are not the same


@pytest.mark.parametrize("name", NAMES)
def test_tokens_later_in_the_order_have_no_effect_at_all(name: str):
    lm = tiny_any_order(name).lm
    assert lm.invariant
    for order in ([3, 1, 4, 0, 2, 5], [5, 4, 3, 2, 1, 0], [0, 4, 2, 1, 3, 5]):
        before = lm.score(IDS, order=order).logprobs
        for step in range(6):
            other = list(IDS)
            for position in order[step:]:
                other[position] = (IDS[position] + 17) % V
            after = lm.score(other, order=order).logprobs
            assert after[order[:step]].tolist() == before[order[:step]].tolist()
            assert (after[order[step:]] != before[order[step:]]).all()


@pytest.mark.parametrize("name", NAMES)
def test_the_position_of_a_known_token_has_an_effect(name: str):
    """The same tokens in the same steps at other positions; and the same known tokens with another target."""
    lm = tiny_any_order(name).lm
    [ab] = lm.predictor.conditionals([Cloze(np.array([5, 9, 0, 0]), np.array([0, 1]), 2, START)])
    [ba] = lm.predictor.conditionals([Cloze(np.array([9, 5, 0, 0]), np.array([1, 0]), 2, START)])
    [later] = lm.predictor.conditionals([Cloze(np.array([5, 9, 0, 0]), np.array([0, 1]), 3, START)])
    assert np.abs(ab - ba).max() > 0.01
    assert np.abs(ab - later).max() > 0.01


@pytest.mark.parametrize("name", NAMES)
def test_one_pass_gives_the_same_as_single_steps(name: str):
    lm, order = tiny_any_order(name).lm, [3, 1, 4, 0, 2, 5]
    ids = np.array(IDS)
    score = lm.score(IDS, order=order)
    clozes = [Cloze(ids, np.array(order[:step], np.int64), order[step], START) for step in range(6)]
    together = lm.predictor.conditionals(clozes)
    for step, cloze in enumerate(clozes):
        [alone] = lm.predictor.conditionals([cloze])
        assert alone.tolist() == together[step].tolist()
        assert alone[IDS[order[step]]] == score.logprobs[order[step]]
        assert abs(np.exp(alone).sum() - 1) < 1e-6
    assert np.abs(together - conditionals_in_order(tiny_any_order(name).own, IDS, order, START)).max() < FLOAT32


def test_tokens_at_unseen_positions_are_not_read():
    chain = tiny_any_order("llama").lm.predictor
    a, b = (Cloze(np.array([5, x, 9, x]), np.array([2, 0]), 1, START) for x in (1, 2))
    assert chain.conditionals([a]).tolist() == chain.conditionals([b]).tolist()
    assert chain.conditionals([]).shape == (0, V)


@pytest.mark.parametrize("name", NAMES)
def test_left_to_right_it_is_an_ordinary_causal_model(name: str):
    lm = tiny_any_order(name).lm
    whole = lm.score(IDS)
    assert whole.logprobs.tolist() == lm.score(IDS, order="left-to-right").logprobs.tolist()
    assert whole.ordering.left_to_right
    assert not whole.ordering.length_given
    for length in range(1, len(IDS)):  # a prefix's factors do not change with the length
        assert lm.score(IDS[:length]).logprobs.tolist() == whole.logprobs[:length].tolist()
        assert lm.conditional(IDS[:length]).logprob(IDS[length]) == whole.logprobs[length]
    assert lm.conditional().logprob(IDS[0]) == whole.logprobs[0]
    ended = lm.score(IDS, end=True)
    assert ended.logprobs[:-1].tolist() == whole.logprobs.tolist()
    assert ended.logprobs[-1] == lm.conditional(IDS).logprob(1)


@pytest.mark.parametrize("name", NAMES)
def test_a_new_model_from_a_causal_one_computes_the_same(name: str):
    own = untouched(CONFIGS[name]())
    model = AnyOrderForCausalLM.from_causal(own, 8)
    ids = torch.tensor([[START, *IDS]])
    assert torch.equal(model(ids).logits, own(ids[:, :-1], use_cache=False).logits)
    with torch.no_grad():
        model.lm.get_input_embeddings().weight += 1
    assert not torch.equal(model.lm.get_input_embeddings().weight, own.get_input_embeddings().weight)  # the weights are copied


def test_shared_beginnings_of_orders_and_texts_are_computed_once():
    lm = tiny_any_order("llama").lm
    orders = [(0, 4, 2, 1, 3), (0, 4, 2, 3, 1), (0, 4, 1, 2, 3)]
    scores = lm.score_batch([[5, 6, 7, 8, 9], [5, 1, 7, 8, 9]], order=orders).scores
    # A row is computed from the known tokens and the target.
    rows = {(tuple((p, text[p]) for p in order[:t]), order[t])
            for text in ([5, 6, 7, 8, 9], [5, 1, 7, 8, 9]) for order in orders for t in range(5)}  # fmt: skip
    assert scores.rows == scores.distinct_contexts == len(rows) == 13
    for i, (text, order) in enumerate(product(([5, 6, 7, 8, 9], [5, 1, 7, 8, 9]), orders)):
        assert lm.score(text, order=order).logprobs.tolist() == scores[i].logprobs.tolist()


@pytest.mark.parametrize("rows", [1, 3, 16, 768])
def test_chunks_do_not_change_a_bit(rows: int):
    lm = tiny_any_order("llama").lm
    want = lm.score(IDS, order="random:5")
    assert [s.logprobs.tolist() for s in lm.score(IDS, order="random:5", rows=rows)] == [s.logprobs.tolist() for s in want]


@pytest.mark.parametrize("start", [None, START, 9])
def test_given_tokens_come_first(start: int | None):
    lm, own = tiny_any_order("llama").lm, tiny_any_order("llama").own
    answer = lm.predictor.answer_in_order([ordered(IDS, [5, 0, 1], [4, 2, 3], start)])
    if start is None:
        want = lm.predictor.conditionals([Cloze(np.array(IDS), np.array([4, 2, 3]), 5)])[0][IDS[5]]
        assert answer.logprobs[0] == want
    else:
        order = [4, 2, 3, 5, 0, 1]
        assert np.abs(answer.logprobs - factors_in_order(own, IDS, order, start)[[5, 0, 1]]).max() < FLOAT32


def test_saved_and_loaded_with_its_tokenizer(tmp_path: Path):
    tokenizer = byte_level()
    own = untouched_any_order("llama", 12, vocab_size=tokenizer.size, bos_token_id=tokenizer.bos_id)
    own.save_pretrained(tmp_path)
    tokenizer.hf.save_pretrained(tmp_path)
    assert sorted(file.suffix for file in tmp_path.glob("model*")) == [".safetensors"]
    lm = chainrule.load(tmp_path)
    assert isinstance(lm.model, AnyOrderModel)
    assert "AnyOrderForCausalLM" in repr(lm)
    for (name, before), after in zip(own.state_dict().items(), lm.model.own.state_dict().values(), strict=True):
        assert torch.equal(before, after), name
    score = lm.score("The fox", order="right-to-left")
    want = factors_in_order(own, score.ids.tolist(), range(len(score))[::-1], tokenizer.bos_id)
    assert np.abs(score.logprobs - want).max() < FLOAT32


def test_tied_weights_stay_tied(tmp_path: Path):
    own = untouched_any_order("gpt2", 5)
    own.save_pretrained(tmp_path)
    loaded = AnyOrderForCausalLM.from_pretrained(tmp_path)
    assert loaded.lm.lm_head.weight is loaded.lm.get_input_embeddings().weight
    assert torch.equal(loaded.position.weight, own.position.weight)


def test_the_loss_can_be_trained_in_an_ordinary_loop():
    own = untouched_any_order("llama", 9)
    ids = torch.tensor([[START, *IDS], [START, *IDS[::-1]]])
    order = torch.tensor([[3, 1, 4, 0, 2, 5], [5, 4, 3, 2, 1, 0]])
    loss = own(ids, order, labels=ids).loss
    want = [factors_in_order(own, row[1:].tolist(), o.tolist(), START) for row, o in zip(ids, order, strict=True)]
    assert loss.item() == pytest.approx(-np.mean(want), abs=1e-5)
    loss.backward()
    assert own.position.weight.grad[:5].abs().min() > 0
    assert own.target.weight.grad[:6].abs().min() > 0
    assert own.target.weight.grad[6:].abs().max() == 0
    masked = ids.clone()
    masked[:, 2:] = -100
    alone = own(ids, order, labels=masked).loss
    assert alone.item() == pytest.approx(-np.mean([factors[0] for factors in want]), abs=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_its_own_forward_is_the_trunk_on_explicit_embeddings(name: str):
    """A row is token + position + target. The start symbol has no position, and the last token has no row."""
    own, order = tiny_any_order(name).own, [3, 1, 4, 0, 2, 5]
    token, position, target = own.lm.get_input_embeddings().weight, own.position.weight, own.target.weight
    rows = [token[START] + target[3]]
    rows += [token[IDS[current]] + position[current] + target[following] for current, following in pairwise(order)]
    with torch.no_grad():
        want = own.lm(inputs_embeds=torch.stack(rows)[None], use_cache=False).logits
        logits = own(torch.tensor([[START, *IDS]]), torch.tensor([order])).logits
    assert logits.shape == want.shape == (1, 6, V)
    assert (logits - want).abs().max() < FLOAT32


# Refusals


def test_checks_and_codes_for_causal_models_are_refused():
    """Its trunk alone would run as a causal model, with other results."""
    any_order = tiny_any_order("llama", 40, vocab_size=byte_level().size).lm
    lm = LanguageModel(any_order.model, byte_level(), engine=any_order.engine)
    for call in (lm.verify, lambda: encode(lm, "The fox"), lambda: decode(lm, None)):
        with pytest.raises(InputError, match="predicts in any order, and this compares causal models"):
            call()


def test_a_text_longer_than_the_number_of_positions_is_refused():
    lm = tiny_any_order("llama", 5).lm
    assert len(lm.score([7] * 5)) == 5
    for options in ({}, {"order": "random"}, {"order": "random:3"}, {"order": "left-to-right"}):
        with pytest.raises(InputError, match=r"item 1: it has 6 tokens, and the model has 5 positions.*windows are for causal"):
            lm.score_batch([[7] * 5, [7] * 6], **options)
    with pytest.raises(InputError, match="it has 6 tokens, and the model has 5 positions"):
        lm.conditional([7] * 5)
    with pytest.raises(InputError, match="it has 6 tokens, and the model has 5 positions"):
        lm.score([7] * 3, context=[7] * 3)


def test_a_text_longer_than_the_trunks_context_is_refused():
    lm = tiny_any_order("gpt2", 20, n_positions=8).lm
    assert len(lm.score([7] * 8, order="random")) == 8  # the last token of an order has no row
    assert lm.model.max_tokens == 8
    with pytest.raises(InputError, match="a context of 9 embeddings, and the model takes 8"):
        lm.score([7] * 9)
    assert len(lm.score([7] * 9, start="given")) == 8


@pytest.mark.parametrize("options", [{"window": 3}, {"window": 3, "stride": 1}, {"stride": 2}])
def test_windows_are_refused(options: dict):
    with pytest.raises(InputError, match="windows are for causal models"):
        tiny_any_order("llama").lm.score(IDS, **options)
    assert len(tiny_any_order("llama").lm.score(IDS, window=False)) == len(IDS)


def test_embeddings_are_refused():
    lm = tiny_any_order("llama").lm
    with pytest.raises(InputError, match="give token ids"):
        lm.score(embeddings=torch.zeros(3, 32))


def test_sequences_and_conditionals_that_cannot_be_scored():
    chain = tiny_any_order("llama").lm.predictor
    with pytest.raises(InputError, match="item 1: without a start symbol the first factor has no context"):
        chain.answer_in_order([ordered(IDS, [0, 1, 2, 3, 4, 5]), ordered(IDS, [0, 1, 2, 3, 4, 5], start=None)])
    with pytest.raises(InputError, match=r"position 2 after the positions \[0, 2\]: one is named twice"):
        chain.conditionals([Cloze(np.array(IDS), np.array([0, 2]), 2, START)])
    with pytest.raises(InputError, match="item 0: it has 10 tokens, and the model has 9 positions"):
        chain.conditionals([Cloze(np.zeros(10, np.int64), np.array([0, 2]), 1, START)])
    with pytest.raises(ModelError, match="is not an any-order model"):
        AnyOrderPredictor(tiny("llama").lm.engine)


@pytest.mark.parametrize("order", [[[0, 1, 2, 3, 4, 4]], [[0, 1, 2]], [[1, 2, 3, 4, 5, 6]], [[-1, 0, 1, 2, 3, 4]]])
def test_its_own_forward_refuses_an_order_that_is_not_a_permutation(order: list):
    with pytest.raises(InputError, match=r"a permutation of the positions 0 … 5 for each of 1 sequences"):
        tiny_any_order("llama").own(torch.tensor([[START, *IDS]]), torch.tensor(order))


def test_its_own_forward_refuses_a_text_that_does_not_fit():
    own = tiny_any_order("llama", 5).own
    for length in (0, 6):
        with pytest.raises(InputError, match=f"a text of {length} tokens does not fit into the 5 positions"):
            own(torch.full((1, 1 + length), 7))


@pytest.mark.parametrize("places", [0, -1, 2.5, True, "8"])
def test_an_invalid_number_of_places_is_refused(places: object):
    with pytest.raises(ModelError, match="places must be a whole number of 1 or more"):
        AnyOrderConfig(trunk=CONFIGS["llama"](), places=places)


def test_other_trunks_use_another_strategy():
    """A trunk with relative biases uses the batch strategy, and the results are the same."""
    lm, own = tiny_any_order("bloom").lm, tiny_any_order("bloom").own
    assert lm.engine.strategy == "batch"
    orders = [list(order) for order in ORDERS[::5]]
    for score, order in zip(lm.score(IDS[:4], order=orders), orders, strict=True):
        assert np.abs(score.logprobs - factors_in_order(own, IDS[:4], order, START)).max() < FLOAT32


def test_the_engine_is_chosen_by_the_probe():
    model = AnyOrderModel(untouched_any_order("llama", 6), "tiny")
    assert isinstance(LanguageModel(model, engine=choose(model)).predictor, AnyOrderPredictor)
