"""Any order by a causal model, as sums over all texts, compared with explicit sums of probabilities."""

from __future__ import annotations

import math
from itertools import permutations, product

import numpy as np
import oracle
import pytest
import transformers as tf
from masked_zoo import NO_POSITIONS, ordered, whole_space
from model_zoo import untouched, wrap

from chainrule import InputError, LanguageModel, TableModel
from chainrule.engine.predictors.base import Cloze
from chainrule.engine.predictors.marginal import MOST, MarginalPredictor
from chainrule.engine.question import Settings


@pytest.fixture(scope="module")
def noisy() -> LanguageModel:
    """A table with random rows for all contexts of up to three of three tokens."""
    draw = np.random.default_rng(3)
    contexts = ["".join(s) for n in range(4) for s in product("ABC", repeat=n)]
    return LanguageModel(TableModel(["A", "B", "C"], {c: draw.normal(0, 2, 3) for c in contexts}))


def joint(lm: LanguageModel, length: int) -> dict[tuple[int, ...], float]:
    texts = list(product(range(3), repeat=length))
    return dict(zip(texts, np.exp(lm.score_batch([list(text) for text in texts]).logprob).tolist(), strict=True))


def test_in_every_order_each_text_has_the_same_probability_and_they_sum_to_one(noisy: LanguageModel):
    chain = MarginalPredictor(noisy.engine)
    left_to_right = np.log(list(joint(noisy, 4).values()))
    for texts in whole_space(range(3), 4, start_id=noisy.start.id).values():
        logprobs = chain.answer_in_order(texts).logprobs.reshape(-1, 4).sum(1)
        assert logprobs == pytest.approx(left_to_right, abs=1e-12)
        assert np.exp(logprobs).sum() == pytest.approx(1, abs=1e-12)


def test_conditionals_are_ratios_of_sums(noisy: LanguageModel):
    chain, p = noisy.predictor.any_order, joint(noisy, 4)
    ids, start = np.array([1, 2, 0, 1]), noisy.start.id
    clozes = [Cloze(ids, np.array(seen), t, start) for t in range(4) for n in range(4)
              for seen in permutations([s for s in range(4) if s != t], n)]  # fmt: skip
    expected = np.stack([oracle.marginal_conditional(p, ids, cloze.seen.astype(int), cloze.target)
                       for cloze in (q._replace(seen=q.seen.astype(np.int64)) for q in clozes)])  # fmt: skip
    logprobs = chain.conditionals([q._replace(seen=q.seen.astype(np.int64)) for q in clozes])
    assert np.abs(logprobs - expected).max() < 1e-12


def test_the_statistics_of_a_factor(noisy: LanguageModel):
    answer = noisy.predictor.any_order.answer_in_order([ordered([1, 2, 0], [2, 0, 1], start_id=3)], Settings(top=2))
    expected = noisy.predictor.any_order.conditionals(
        [Cloze(np.array([1, 2, 0]), np.array(seen, np.int64), t, 3) for seen, t in (([], 2), ([2], 0), ([2, 0], 1))]
    )
    assert answer.logprobs.tolist() == expected[[0, 1, 2], [0, 1, 2]].tolist()
    assert answer.ranks.tolist() == [oracle.rank(row, token) for row, token in zip(expected, [0, 1, 2], strict=True)]
    assert answer.entropies == pytest.approx([oracle.entropy(row) for row in expected], abs=1e-12)
    assert answer.statistics.logprob_variances == pytest.approx([oracle.variance(row) for row in expected], abs=1e-12)
    assert answer.top_ids.tolist() == np.argsort(-expected)[:, :2].tolist()
    assert answer.top_logprobs.tolist() == (-np.sort(-expected)[:, :2]).tolist()


@pytest.mark.filterwarnings("ignore:the tokens begin with the start symbol")
def test_a_network():
    own = untouched(tf.LlamaConfig(vocab_size=5, hidden_size=16, intermediate_size=24, num_hidden_layers=1,
                                   num_attention_heads=2, bos_token_id=4, eos_token_id=1))  # fmt: skip
    lm = wrap(own)
    for order, texts in whole_space(range(5), 3, start_id=lm.start.id).items():
        logprobs = lm.predictor.any_order.answer_in_order(texts).logprobs.reshape(-1, 3).sum(1)
        assert np.exp(logprobs).sum() == pytest.approx(1, abs=1e-6), order
        assert logprobs == pytest.approx(lm.score_batch([t.ids_L for t in texts]).logprob, abs=1e-5)


def test_all_texts_of_a_length_are_scored_once(noisy: LanguageModel):
    chain = MarginalPredictor(noisy.engine)
    first = chain.answer_in_order([ordered([1, 2, 0], [2, 0, 1], start_id=3), ordered([1, 2, 0], [2, 1, 0], start_id=3)])
    assert (first.rows, first.contexts) == (
        9 * 3,
        5,
    )  # nine paths; x_2 is first in both orders
    second = chain.answer_in_order([ordered([0, 0, 0], [1, 0, 2], start_id=3)])
    assert (second.rows, second.contexts) == (0, 3)


def test_without_a_start_symbol_the_first_token_is_given(noisy: LanguageModel):
    chain = noisy.predictor.any_order
    for order, texts in whole_space(range(3), 3, given=1).items():
        if order[0] != 0:
            with pytest.raises(InputError, match=r"item 0: without a start symbol .* has no distribution of the first token"):
                chain.answer_in_order(texts)
            continue
        logprobs = chain.answer_in_order(texts).logprobs.reshape(-1, 2).sum(1)
        assert logprobs == pytest.approx(noisy.score_batch([t.ids_L for t in texts], start="given").logprob, abs=1e-12)
    with pytest.raises(InputError, match="must be given, or first"):
        chain.conditionals([Cloze(np.array([0, 1]), NO_POSITIONS, 0)])


def test_after_an_impossible_context_no_token_is_possible():
    lm = LanguageModel(TableModel(["A", "B"], {"": [1, 0], "A": [0.25, 0.75], "B": [0.5, 0.5]}, probabilities=True))
    answer = lm.predictor.any_order.answer_in_order([ordered([1, 0], [0, 1], start_id=2), ordered([1, 0], [1, 0], start_id=2)])
    assert answer.logprobs.tolist() == [-math.inf, -math.inf, math.log(0.25), -math.inf]
    assert answer.entropies.tolist() == [0, 0, pytest.approx(oracle.entropy(np.log([0.25, 0.75]))), 0]
    assert answer.statistics.logprob_variances.tolist() == [0, 0, pytest.approx(0.25 * 0.75 * np.log(3) ** 2), 0]
    assert answer.ranks[1] == 1
    assert lm.predictor.any_order.conditionals([Cloze(np.array([1, 0]), np.array([0]), 1, 2)]).tolist() == [[-math.inf] * 2]


def test_too_many_texts_to_sum_over(noisy: LanguageModel):
    assert MOST == 65_536
    with pytest.raises(
        InputError, match=r"item 1: table is a causal model.*all 3\^11 texts of 11 tokens .done up to 65,536 of"
    ):
        noisy.predictor.any_order.answer_in_order([ordered([0], [0], start_id=3), ordered([0] * 11, range(11), start_id=3)])
    with pytest.raises(InputError, match="token id 3 is out of range; the model's ids are 0 … 2"):
        noisy.predictor.any_order.answer_in_order([ordered([0, 3], [0, 1], start_id=3)])
    coin = LanguageModel(TableModel(["H", "T"], {"": [0.25, 0.75]}, probabilities=True, back_off=True))
    answer = coin.predictor.any_order.answer_in_order([ordered([0, 1] * 8, range(15, -1, -1), start_id=2)])  # 2^16
    assert answer.logprobs.sum() == pytest.approx(8 * math.log(3 / 16), abs=1e-9)


def test_the_predictor_of_other_orders(noisy: LanguageModel):
    chain = noisy.predictor.any_order
    assert (chain.strategy, noisy.predictor.strategy) == ("marginal", "batch")
    assert chain.accepts.pseudo
    assert noisy.predictor.any_order is chain  # with its tables
    assert chain.any_order is chain
    assert bool(chain.invariance) == bool(noisy.invariant)
    noisy.engine = type(noisy.engine)(noisy.model, "batch")
    assert noisy.predictor.any_order is not chain
