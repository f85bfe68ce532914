"""Scoring at a temperature: the softmax of logits / T, by its definition in float64, for every kind of model."""

from __future__ import annotations

import copy
import json
from typing import Any

import masked_zoo
import model_zoo
import numpy as np
import pytest
import torch
from oracle import entropy, log_softmax, rank, variance

from chainrule import InputError, LanguageModel, TableModel
from chainrule.engine.engine import Engine
from chainrule.models.causal import PretrainedModel, RunConfig

IDS = [5, 7, 9, 11, 3, 4, 7, 9]
TEMPERATURES = (0.05, 0.7, 2.0, 300.0)


def check(score: Any, logits_TV: np.ndarray, ids: list[int], temperature: float, atol: float) -> None:
    """A score against the logits of its factors."""
    assert score.temperature == temperature
    for t, token in enumerate(ids):
        want_V = log_softmax(logits_TV[t] / temperature)
        np.testing.assert_allclose(score.logprobs[t], want_V[token], rtol=0, atol=atol / min(1, temperature))
        np.testing.assert_allclose(score.entropies[t], entropy(want_V), rtol=0, atol=10 * atol / min(1, temperature))
        np.testing.assert_allclose(score.logprob_variances[t], variance(want_V), rtol=0, atol=10 * atol / min(1, temperature))
        assert score.ranks[t] == rank(logits_TV[t], token)
        count = score.top_ids.shape[1]
        np.testing.assert_allclose(score.top_logprobs[t], want_V[score.top_ids[t]], rtol=0, atol=atol / min(1, temperature))
        assert sorted(want_V[score.top_ids[t]]) == sorted(want_V)[len(want_V) - count :]


@torch.inference_mode()
def own_logits(own: Any, ids: list[int]) -> np.ndarray:
    return own(input_ids=torch.tensor([ids])).logits[0].double().numpy()


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2", "bert_decoder", "mamba"])
def test_causal_models(name: str, temperature: float, kernels: str):
    """With a linear head, a softcap, the model's own head, and each strategy."""
    tiny = model_zoo.tiny(name)
    score = tiny.lm.score(IDS, temperature=temperature, top=3)
    check(score, own_logits(tiny.own, [tiny.lm.start.id, *IDS]), IDS, temperature, 2e-5)
    assert np.array_equal(score.ranks, tiny.lm.score(IDS).ranks)


@pytest.mark.parametrize(("dtype", "atol"), [("float64", 1e-10), ("bfloat16", 2e-2), ("float16", 5e-3)])
def test_other_dtypes(dtype: str, atol: float):
    """In bfloat16 and float16, from the hidden states that chainrule itself computes."""
    lm = model_zoo.tiny("llama", dtype).lm
    base = [lm.conditional(IDS[:i]).logprobs for i in range(len(IDS))]
    check(lm.score(IDS, temperature=0.7, top=2), np.array(base), IDS, 0.7, min(atol, 1e-5))


@pytest.mark.parametrize("strategy", ["forest", "batch", "single"])
def test_each_strategy_gives_the_same(strategy: str):
    tiny = model_zoo.tiny("llama")
    model = tiny.lm.model if strategy == "forest" else PretrainedModel(copy.deepcopy(tiny.own), "tiny", RunConfig(strategy))
    lm = LanguageModel(model, engine=Engine(model, strategy))
    check(lm.score(IDS, temperature=1.7, top=2), own_logits(tiny.own, [0, *IDS]), IDS, 1.7, 2e-5)


def test_temperature_1_is_the_model_itself():
    lm = model_zoo.tiny("llama").lm
    plain = lm.score(IDS, top=3)
    for one in (1, 1.0, np.float32(1), True + 0):
        same = lm.score(IDS, top=3, temperature=one)
        for a, b in zip(plain.statistics.arrays, same.statistics.arrays, strict=True):
            assert np.array_equal(a, b)
    assert plain.temperature == 1.0
    assert not any("temperature" in line for line in plain.remarks)


def test_bits_do_not_depend_on_the_batch():
    lm = model_zoo.tiny("llama").lm
    if not lm.invariant:
        pytest.skip(lm.invariant.reason)
    draw = np.random.default_rng(0)
    texts = [draw.integers(2, 60, length).tolist() for length in (3, 1, 20, 7, 7, 33)]
    batch = lm.score_batch(texts, temperature=0.6)
    for text, score in zip(texts, batch, strict=True):
        assert np.array_equal(lm.score(text, temperature=0.6).logprobs, score.logprobs)
        assert np.array_equal(lm.score(text, temperature=0.6, rows=5).entropies, score.entropies)


def test_the_limits():
    """From the lowest temperature, where only the most probable tokens remain, to the highest, where all are equal."""
    rows = {"": [0.5, 0.5, 0.0], "A": [0.2, 0.3, 0.5]}
    lm = LanguageModel(TableModel(["A", "B", "C"], rows, probabilities=True, back_off=True))
    for low in (5e-324, 1e-300):
        first = lm.conditional(None, temperature=low)
        assert first.logprobs.tolist() == pytest.approx([np.log(0.5), np.log(0.5), -np.inf])
        assert lm.score("AC", temperature=low).logprobs.tolist() == pytest.approx([np.log(0.5), 0.0])
        assert lm.score("AC", temperature=low).entropies.tolist() == pytest.approx([np.log(2), 0.0])
    for high in (1e30, 1.7e308):
        assert lm.score("AB", temperature=high).logprobs.tolist() == pytest.approx([np.log(0.5), np.log(1 / 3)])
        assert lm.conditional(None, temperature=high).logprobs[2] == -np.inf  # impossible at any temperature
    assert lm.score("AB", temperature=5e-324).logprob == -np.inf
    network = model_zoo.tiny("gpt2").lm
    assert network.score(IDS, temperature=1e300).logprobs.tolist() == pytest.approx([-np.log(model_zoo.V)] * len(IDS))


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_tables(temperature: float):
    """Probabilities to the power of 1 / T, normalised; zeros stay zero."""
    p = np.array([0.5, 0.3, 0.2, 0.0])
    lm = LanguageModel(TableModel(list("ABCD"), {"": p.tolist()}, probabilities=True, back_off=True))
    want = p ** (1 / temperature) / (p ** (1 / temperature)).sum()
    np.testing.assert_allclose(np.exp(lm.conditional(None, temperature=temperature).logprobs), want, atol=1e-6)
    np.testing.assert_allclose(np.exp(lm.score("ABC", temperature=temperature).logprobs), want[:3], atol=1e-6)


@pytest.mark.parametrize("temperature", [0.7, 2.0])
def test_masked_models(temperature: float):
    """The softmax over the tokens that can occur."""
    tiny = masked_zoo.masked("bert")
    ids, order = [5, 6, 7, 4], [2, 0, 3, 1]
    base = tiny.lm.score(ids, order=order, top=4)
    score = tiny.lm.score(ids, order=order, temperature=temperature, top=4)
    for t, step in enumerate(score.ordering.places):
        seen = score.context_positions(t).tolist()
        [z] = tiny.lm.predictor.conditionals([masked_zoo_cloze(tiny.lm, ids, seen, int(step))])
        want_V = log_softmax(z / temperature)
        assert score.logprobs[t] == pytest.approx(want_V[ids[step]], abs=2e-5)
        assert score.entropies[t] == pytest.approx(entropy(want_V), abs=2e-4)
        np.testing.assert_allclose(score.top_logprobs[t], np.sort(want_V)[::-1][:4], atol=2e-5)
    assert np.array_equal(base.ranks, score.ranks)


def masked_zoo_cloze(lm: LanguageModel, ids: list[int], seen: list[int], target: int) -> Any:
    from chainrule.engine.predictors.base import Cloze

    return Cloze(np.array(ids), np.array(seen, np.int64), target, lm.start.id)


@pytest.mark.parametrize("order", [None, "right-to-left"])
def test_two_stream_models(order: Any):
    from oracle import two_stream_conditional

    tiny, ids = masked_zoo.two_stream(), [1, 2, 3, 4]
    score = tiny.lm.score(ids, order=order, temperature=0.6)
    known = [0] if order is None else [3]
    targets = [1, 2, 3] if order is None else [2, 1, 0]
    want = {}
    for target in targets:
        want[target] = log_softmax(two_stream_conditional(tiny.own, ids, known, target) / 0.6)[ids[target]]
        known = [*known, target]
    assert score.logprobs.tolist() == pytest.approx([want[t] for t in sorted(want)], abs=2e-5)


def test_any_order_models():
    from oracle import conditionals_in_order

    tiny, ids, order = model_zoo.tiny_any_order("llama"), [5, 7, 9, 11], [2, 0, 3, 1]
    score = tiny.lm.score(ids, order=order, temperature=0.6)
    logprob_LV = conditionals_in_order(tiny.own, ids, order, tiny.lm.start.id)
    want = [log_softmax(z / 0.6)[ids[position]] for z, position in zip(logprob_LV, order, strict=True)]
    assert score.logprobs[order].tolist() == pytest.approx(want, abs=2e-5)
    mixture = tiny.lm.score(ids, order="random:3", temperature=0.6)
    assert {each.temperature for each in mixture} == {0.6}
    assert "temperature 0.6" in repr(mixture)


def test_sums_over_all_texts():
    """Each factor from left to right has the temperature; the conditionals in any order are those of that joint."""
    rows = {"": [0.6, 0.4], "A": [0.7, 0.3], "B": [0.2, 0.8]}
    lm = LanguageModel(TableModel(["A", "B"], rows, probabilities=True, back_off=True))
    plain = lm.score("AB", order=(1, 0)).logprob
    for temperature in (0.5, 3.0):
        direct = lm.score("AB", temperature=temperature).logprob
        assert lm.score("AB", order=(1, 0), temperature=temperature).logprob == pytest.approx(direct, abs=1e-9)
        assert direct != pytest.approx(lm.score("AB").logprob)
    assert lm.score("AB", order=(1, 0)).logprob == plain


def test_with_windows_an_end_symbol_embeddings_and_candidates():
    tiny = model_zoo.tiny("llama")
    lm, ids = tiny.lm, [*IDS, *IDS, *IDS]
    windowed = lm.score(ids, window=10, stride=5, temperature=0.8)
    logits = {tuple(p): own_logits(tiny.own, p)[-1] for p in _contexts(windowed, ids)}
    want = [log_softmax(logits[tuple(p)] / 0.8)[token] for p, token in zip(_contexts(windowed, ids), ids, strict=True)]
    assert windowed.logprobs.tolist() == pytest.approx(want, abs=2e-5)
    ended = lm.score(IDS, end=1, temperature=0.8)
    check(ended, own_logits(tiny.own, [0, *IDS]), [*IDS, 1], 0.8, 2e-5)
    assert np.array_equal(lm.score(embeddings=lm.embed(IDS), temperature=0.8).logprobs, lm.score(IDS, temperature=0.8).logprobs)
    ranked = lm.rank(IDS, [[3], [4, 5]], temperature=0.8)
    for each in ranked:
        alone = lm.score([[3], [4, 5]][each.index], context=IDS, temperature=0.8)
        assert each.logprob == pytest.approx(alone.logprob, abs=1e-6)
        assert each.score.temperature == 0.8


def _contexts(score: Any, ids: list[int]) -> list[list[int]]:
    return [[0, *(ids[p] for p in score.context_positions(t))] for t in range(len(score))]


def test_the_next_token():
    tiny = model_zoo.tiny("llama")
    conditional = tiny.lm.conditional(IDS, temperature=0.7)
    want_V = log_softmax(own_logits(tiny.own, [0, *IDS])[-1] / 0.7)
    np.testing.assert_allclose(conditional.logprobs, want_V, atol=2e-5)
    assert conditional.temperature == conditional.to_dict()["temperature"] == 0.7
    assert "temperature 0.7" in repr(conditional)


def test_results_say_the_temperature():
    lm = model_zoo.tiny("llama").lm
    scores = lm.score_batch([IDS, IDS[:2]], temperature=0.7)
    assert scores.to_arrow()["temperature"].to_pylist() == [0.7, 0.7]
    assert set(scores.to_arrow("token")["temperature"].to_pylist()) == {0.7}
    assert scores[0].summary()["temperature"] == scores[0].to_dict()["temperature"] == 0.7
    explanation = lm.explain(scores[0])
    assert "temperature 0.7" in explanation.head()
    assert explanation.to_dict()["temperature"] == 0.7
    assert all("temperature 0.7" in repr(each) for each in (scores, scores[0]))
    assert lm.generate(IDS, max_tokens=2, method="sample", temperature=0.5, seed=1).temperature == 1.0  # the model's own


@pytest.mark.parametrize("wrong", [0, -1.0, float("inf"), float("nan"), True, "1", None])
def test_wrong_temperatures(wrong: Any):
    lm = model_zoo.tiny("llama").lm
    for call in (lm.score, lm.conditional, lm.explain):
        with pytest.raises(InputError, match="temperature must be a number above 0, not"):
            call(IDS, temperature=wrong)
    with pytest.raises(InputError, match="temperature must be"):
        lm.rank(IDS, [[3]], temperature=wrong)
    with pytest.raises(InputError, match="a score is explained as it is"):
        lm.explain(lm.score(IDS), temperature=0.5)


def test_on_the_command_line(tiny: LanguageModel, tiny_folder: Any, command: Any):
    model = ("-m", str(tiny_folder), "--temperature", "0.5")
    want = tiny.score("Hello", temperature=0.5)
    [score] = [json.loads(line) for line in command("score", "Hello", "--json", *model)[1].splitlines()]
    assert score["temperature"] == 0.5
    assert score["logprob"] == pytest.approx(want.logprob)
    explained = json.loads(command("explain", "Hello", "--json", *model)[1])
    assert explained["logprob"] == pytest.approx(want.logprob)
    following = json.loads(command("next", "Hello", "--json", *model)[1])
    assert following["top"][0]["logprob"] == pytest.approx(tiny.conditional("Hello", temperature=0.5).top(1)[0].logprob)
    ranked = json.loads(command("rank", "Hello", " world", " there", "--json", *model)[1])
    assert {row["temperature"] for row in ranked["candidates"]} == {0.5}
    code, _, err = command("score", "Hello", "-m", str(tiny_folder), "--temperature", "0")
    assert (code, err) == (2, "chainrule: --temperature must be a number above 0, not 0.0\n")
