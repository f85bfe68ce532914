"""The arithmetic of the chain rule, on models with known conditionals."""

import math
from itertools import product

import numpy as np
import pytest

from chainrule import InputError, LanguageModel, ModelError, TableModel


def chain(*first_steps: float) -> LanguageModel:
    """A model of A and B in which the factors of "AAA…" are `first_steps`."""
    rows = {"A" * i: [p, 1 - p] for i, p in enumerate(first_steps)}
    return LanguageModel(TableModel(["A", "B"], rows, probabilities=True))


def test_a_product_of_three_factors():
    assert math.exp(chain(0.1, 0.5, 0.8).score("AAA").logprob) == pytest.approx(0.04, rel=1e-14)
    assert chain(0.1, 0.5, 0.8).score("AAB").logprob == pytest.approx(-4.605170185988091, abs=1e-14)


def test_logs_are_summed():
    logs = (-1.5, -2.0, -1.2)
    score = chain(*map(math.exp, logs)).score("AAA")
    assert score.logprobs == pytest.approx(logs, abs=1e-14)
    assert score.logprob == pytest.approx(-4.7, abs=1e-14)


def test_an_impossible_event_is_minus_infinity_and_does_not_affect_others():
    lm = chain(0.0, 0.4, 0.8)
    scores = lm.score_batch(["AAA", "B", "AAB", "AB"])
    assert scores.logprob.tolist() == [-math.inf, 0.0, -math.inf, -math.inf]
    assert scores[0].logprobs[1:] == pytest.approx(np.log([0.4, 0.8]), abs=1e-15)
    assert scores[2].logprobs[2] == pytest.approx(math.log(0.2), abs=1e-15)
    assert scores[0].perplexity == scores[0].bits == math.inf
    assert scores.entropies[0] == 0.0
    assert not np.isnan(np.concatenate([scores.logprobs, scores.entropies])).any()


def test_ten_thousand_factors_of_a_half_do_not_underflow():
    fair = LanguageModel(TableModel(["H", "T"], {"": [0.5, 0.5]}, probabilities=True, back_off=True))
    score = fair.score("HT" * 5_000)
    assert score.logprob / math.log(2) == pytest.approx(-10_000, abs=1e-9)
    assert (score.bits, score.perplexity) == pytest.approx((10_000, 2.0), rel=1e-14)


def test_ranking_by_raw_logits_is_wrong(abc: LanguageModel):
    scores = abc.score_batch(["AA", "BB"])
    assert scores.logprob == pytest.approx([-1.411907, -2.626802], abs=1e-6)
    by_hand = [math.log(math.e**10 / (math.e**10 + math.e**9 + 1)), math.log(1 / 3)]
    assert scores[0].logprobs == pytest.approx(by_hand, abs=1e-14)
    raw_sums = {"AA": 10 + 0, "BB": 9 + 7}
    assert max(raw_sums, key=raw_sums.__getitem__) == "BB"  # adding raw logits picks the wrong winner
    assert abc.rank(None, ["BB", "AA"])[0].text == "AA"


def test_greedy_is_not_best():
    lm = LanguageModel(TableModel(["A", "B"], {"": [0, 0], "A": [10, 0], "B": [1, 1]}))
    finished = ["".join(s) for s in product("AB", repeat=2)]
    ranked = lm.rank(None, finished)
    assert [ranked[0].text, ranked[0].index] == ["AA", 0]
    best = {first: max(r.logprob for r in ranked if r.text[0] == first) for first in "AB"}
    assert best == pytest.approx({"A": -0.693193, "B": -1.386294}, abs=1e-6)


def full_space(lm: LanguageModel, length: int, **options) -> np.ndarray:
    texts = ["".join(s) for s in product("AB", repeat=length)]
    return np.exp(lm.score_batch(texts, **options).logprob)


@pytest.fixture
def noisy() -> LanguageModel:
    """All eight contexts of up to two tokens, at random."""
    draw = np.random.default_rng(3)
    contexts = ["".join(s) for n in range(4) for s in product("AB", repeat=n)]
    return LanguageModel(TableModel(["A", "B"], {c: draw.normal(0, 3, 2) for c in contexts}))


@pytest.mark.parametrize("length", [1, 2, 3, 4])
def test_with_a_start_symbol_all_sequences_of_one_length_sum_to_one(noisy: LanguageModel, length: int):
    assert full_space(noisy, length).sum() == pytest.approx(1, abs=1e-12)
    assert noisy.score("AB").kind == "joint"
    assert noisy.score("AB").contexts.tolist() == [1, 2]


def test_with_a_given_first_token_they_sum_to_v_and_are_conditional(noisy: LanguageModel):
    assert full_space(noisy, 3, start="given").sum() == pytest.approx(2, abs=1e-12)
    score = noisy.score("ABA", start="given")
    assert (score.kind, score.start.kind, score.start.id) == ("conditional", "conditional", None)
    assert score.contexts.tolist() == [1, 2]
    assert score.tokens == ["B", "A"]
    assert score.logprobs.tolist() == noisy.score("ABA").logprobs[1:].tolist()


def test_texts_after_a_context_sum_to_one(noisy: LanguageModel):
    assert full_space(noisy, 2, context="BA").sum() == pytest.approx(1, abs=1e-12)


def test_a_chain_grown_a_token_at_a_time_is_the_score(noisy: LanguageModel):
    grown, steps = "", []
    for token in "BABA":
        step = noisy.conditional(grown)
        assert step.context == 1 + len(grown)
        steps.append(step.logprob(token))
        grown += token
    assert steps == noisy.score("BABA").logprobs.tolist()
    assert math.fsum(steps) == noisy.score("BABA").logprob


def test_ids_and_their_embeddings_give_the_same_factors(noisy: LanguageModel):
    ids = [1, 0, 1]
    assert noisy.score(embeddings=noisy.embed(ids)).logprobs.tolist() == noisy.score(ids).logprobs.tolist()


def test_a_context_takes_its_own_row_and_backs_off_to_its_longest_suffix():
    rows = {"": [1, 0], "A": [0.25, 0.75], "BA": [0, 1]}
    bigram = LanguageModel(TableModel(["A", "B"], rows, probabilities=True, back_off=True))
    assert bigram.score("BAA").logprobs.tolist() == [-math.inf, 0.0, -math.inf]  # "BA" has its own row; "B" takes the row of ""
    assert bigram.score("AABB", start="given").logprobs == pytest.approx([math.log(0.25), math.log(0.75), -math.inf])


def test_tokens_of_several_characters_are_words():
    rows = {(): [0.5, 0.5], ("New",): [0, 1], ("York",): [1, 0]}
    words = LanguageModel(TableModel(["New", "York"], rows, probabilities=True))
    assert words.score("New York").logprobs == pytest.approx([math.log(0.5), 0])


def test_the_end_symbol_is_a_factor_on_request():
    rows = {"": [0.5, 0.5, 0], "A": [0.2, 0.2, 0.6]}
    lm = LanguageModel(TableModel(["A", "B", "."], rows, probabilities=True, end="."))
    assert lm.score("A", end=True).logprob == pytest.approx(math.log(0.5 * 0.6))
    assert lm.score("A").logprob == pytest.approx(math.log(0.5))


def test_a_missing_context_is_named(abc: LanguageModel):
    with pytest.raises(InputError, match=r"no row for the context \(A B\).*back_off=True"):
        abc.score("ABA")


@pytest.mark.parametrize(
    ("vocabulary", "rows", "match"),
    [
        ([], {}, "non-empty"),
        (["A", "A"], {}, "different tokens"),
        (["A", "B"], {"": [1, 2, 3]}, "2 numbers"),
        (["A", "B"], {"": [math.nan, 0]}, "2 numbers"),
        (["A", "B"], {"C": [0.5, 0.5]}, "'C', which is not in the vocabulary"),
        (["A", "B"], {"A": [0.5, 0.4]}, "'A' must be probabilities that sum to 1, not to 0.9"),
        (["A", "B"], {"": [-0.5, 1.5]}, "probabilities"),
    ],
)
def test_an_invalid_table_is_a_model_error(vocabulary: list[str], rows: dict, match: str):
    with pytest.raises(ModelError, match=match):
        TableModel(vocabulary, rows, probabilities=True)


def test_sequences_in_a_batch_need_no_rows_of_each_other():
    """ "BB" is padding of "B" in a batch with "AB", and not the context of any token."""
    lm = LanguageModel(TableModel(["A", "B"], {"": [0, 1], "A": [1, 0], "AB": [2, 0], "B": [3, 0]}, probabilities=False))
    both = lm.score_batch(["ABA", "BA"])
    assert both.logprob.tolist() == [lm.score("ABA").logprob, lm.score("BA").logprob]
