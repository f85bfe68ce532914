"""Min-K%, Min-K%++, Fast-DetectGPT and the zlib ratio: the published formulas, slow, and what is not defined."""

from __future__ import annotations

import math
import zlib
from typing import Any

import numpy as np
import pytest
import torch
from text_zoo import byte_level
from tiny_llama import tiny_llama

import chainrule
from chainrule import Detectors, InputError, LanguageModel, TableModel
from chainrule.results import shown

TEXTS = ["The dogs bark at the quick fox, which sleeps.", "Hello there, Hello there!", "1 + 1 = 10.", "a"]


@pytest.fixture(scope="module")
def letters() -> LanguageModel:
    """The same distribution before every token."""
    return LanguageModel(TableModel("ABC", {"": [0.7, 0.2, 0.1]}, probabilities=True, back_off=True))


@pytest.fixture(scope="module")
def certain() -> LanguageModel:
    """After A, B is certain; after B, all are equally probable; after C, A and B are."""
    rows = {"": [0.5, 0.3, 0.2], "A": [0, 1, 0], "B": [1 / 3] * 3, "C": [0.5, 0.5, 0]}
    return LanguageModel(TableModel("ABC", rows, probabilities=True, back_off=True))


def test_numbers_by_hand(letters: LanguageModel):
    score = letters.score("ABC")
    assert -score.entropies == pytest.approx(np.full(3, -0.8018185525), abs=5e-11)
    assert np.sqrt(score.logprob_variances) == pytest.approx(np.full(3, 0.7031264535), abs=5e-11)
    assert score.z_scores == pytest.approx([0.6330918, -1.1486118, -2.1344191], abs=5e-8)
    pair = letters.score("AB")
    assert pair.fast_detect() == pytest.approx(-0.3645277, abs=5e-8)
    assert pair.min_k() == pytest.approx(math.log(0.2))
    assert pair.min_k_pp() == pytest.approx(-1.1486118, abs=5e-8)
    assert pair.zlib_ratio() == -pair.logprob / 2 / len(zlib.compress(b"AB"))


def reference(model: Any, ids: list[int], text: str, k: float) -> tuple[float, float, float, float]:
    """The four numbers from whole distributions in float64, as the authors' scripts define them."""
    with torch.inference_mode():
        logprob_TV = model(torch.tensor([ids])).logits[0, :-1].double().log_softmax(-1)
    probability_TV = logprob_TV.exp()
    own_T = logprob_TV[torch.arange(len(ids) - 1), ids[1:]]
    mean_T = (probability_TV * logprob_TV).sum(-1)
    variance_T = (probability_TV * (logprob_TV - mean_T[:, None]) ** 2).sum(-1)
    count = max(1, int(len(own_T) * k))
    least = own_T.sort().values[:count].mean()
    least_z = ((own_T - mean_T) / variance_T.sqrt()).sort().values[:count].mean()
    discrepancy = (own_T.sum() - mean_T.sum()) / variance_T.sum().sqrt()
    return float(least), float(least_z), float(discrepancy), float(-own_T.mean() / len(zlib.compress(text.encode())))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_definitions_on_logits_of_transformers(dtype: torch.dtype):
    """With a start symbol, and with the first token given, as in the authors' scripts under tokenizers without one."""
    lm, model = chainrule.load(tiny_llama().to(dtype), byte_level()), tiny_llama().double()
    atol = {torch.float64: 1e-11, torch.float32: 2e-5}[dtype]
    for start in ("bos", "given"):
        texts = TEXTS if start == "bos" else TEXTS[:-1]
        for k in (0.05, 0.2, 0.3, 1.0):
            detectors = Detectors(lm.score_batch(texts, start=start), k=k)
            for text, item in zip(texts, detectors, strict=True):
                score = lm.score(text)
                begin = [score.start.id] if start == "bos" else []
                found = item.min_k_nats, item.min_k_pp, item.fast_detect, item.zlib_ratio
                assert found == pytest.approx(reference(model, [*begin, *score.ids.tolist()], text, k), rel=0, abs=atol)
                own = item.score
                assert found == (own.min_k(k), own.min_k_pp(k), own.fast_detect(), own.zlib_ratio())


def test_the_share_is_rounded_down_to_one_token_at_least(letters: LanguageModel):
    score = letters.score("CAAAAAAAAB")  # ten tokens
    assert score.min_k(0.01) == score.min_k(0.1) == score.min_k(0.19) == pytest.approx(math.log(0.1))
    assert score.min_k(0.2) == pytest.approx((math.log(0.1) + math.log(0.2)) / 2)
    assert score.min_k(1) == pytest.approx(score.logprob / 10)
    assert letters.score("A").min_k(0.2) == pytest.approx(math.log(0.7))
    for k in (0, -0.1, 1.01, math.nan, True, "0.2"):
        with pytest.raises(InputError, match="k is a share of the tokens, more than 0 and at most 1, not"):
            score.min_k(k)
        with pytest.raises(InputError, match="k is a share of the tokens"):
            Detectors(letters.score_batch(["A"]), k=k)


def test_tokens_without_variance_have_no_z(certain: LanguageModel):
    """A certain token, one of a uniform distribution, and one of two that are equally probable: told, not divided by."""
    scores = certain.score_batch(["AB", "B", "BB", "CA"], start="bos")
    assert [score.logprob_variances.tolist()[1:] for score in scores] == [[0], [], [0], [0]]
    z = certain.score("AB").z_scores
    assert np.isnan(z[1])
    assert z[0] == certain.score("A").z_scores[0]
    detectors = Detectors(scores, k=1)
    assert detectors.tokens_without_variance.tolist() == [1, 0, 1, 1]
    assert detectors.min_k_pp[0] == z[0]
    given = certain.score("AB", start="given")
    assert (given.min_k_pp(), given.fast_detect(), given.min_k()) == (None, None, 0.0)
    only = Detectors(certain.score_batch(["AB", "BC"], start="given"))
    assert np.isnan([only.min_k_pp, only.fast_detect]).all()
    row = only.to_dicts()[0]
    assert (row["min_k_pp"], row["fast_detect"], row["tokens_without_variance"]) == (None, None, 1)
    assert only.to_dicts("token")[0]["z"] is None
    assert only[0].to_dict()["factors"][0]["z"] is None
    for view in (str(only._repr_html_()), shown.as_text(only)):
        assert "without variance: 2 of 2 tokens" in view


def test_impossible_texts(certain: LanguageModel):
    """−inf, also where the distribution has no variance; infinite for the ratio of the surprisal."""
    for text in ("AA", "CC"):
        score = certain.score(text)
        assert (score.min_k(), score.min_k_pp(), score.fast_detect()) == (-math.inf, -math.inf, -math.inf)
        assert score.zlib_ratio() == math.inf
    assert Detectors(certain.score_batch(["AA"])).tokens_without_variance.tolist() == [1]
    assert certain.score("AA", start="given").fast_detect() == -math.inf


def test_only_tokens_that_are_scored_count(letters: LanguageModel, tiny: LanguageModel):
    """Not those of the context; the end symbol does. The compressed text is that which is scored."""
    score = letters.score("AB", context="CCCC")
    alone = letters.score("AB")
    assert (score.min_k(), score.fast_detect(), score.zlib_ratio()) == (alone.min_k(), alone.fast_detect(), alone.zlib_ratio())
    assert letters.score([0, 1]).zlib_ratio() is None
    assert Detectors(letters.score_batch([[0, 1]])).to_dicts()[0]["zlib_ratio"] is None
    text = "ÄÖ — naïve"
    score = tiny.score(text)
    assert score.zlib_ratio() == pytest.approx(-score.logprob / len(score) / len(zlib.compress(text.encode())))


def test_a_temperature_gives_the_numbers_of_its_distribution(letters: LanguageModel):
    p = np.array([0.7, 0.2, 0.1]) ** 2
    logprob = np.log(p / p.sum())
    mean = np.exp(logprob) @ logprob
    want = (logprob[0] - mean) / math.sqrt(np.exp(logprob) @ (logprob - mean) ** 2)
    assert letters.score("A", temperature=0.5).min_k_pp() == pytest.approx(want)


def test_tables_and_items_agree(letters: LanguageModel):
    detectors = Detectors(letters.score_batch(["AB", "C", "BBA"], context=[None, "A", None]), k=0.5)
    rows, tokens = detectors.to_dicts(), detectors.to_dicts("token")
    for item, row in zip(detectors, rows, strict=True):
        assert item.summary().items() <= row.items()
        contents = item.to_dict()
        assert contents["factors"][0]["logprob_variance"] == item.score.logprob_variances[0]
        own = [token for token in tokens if token["index"] == row["index"]]
        assert [token["z"] for token in own] == item.score.z_scores.tolist() == [factor["z"] for factor in contents["factors"]]
        assert [token["logprob_mean"] for token in own] == (-item.score.entropies).tolist()
    assert [row["min_k_share"] for row in rows] == [0.5] * 3
    assert detectors.part(slice(1, 3)).to_dicts()[1]["min_k_pp"] == rows[2]["min_k_pp"]
    assert len(Detectors(letters.score_batch([])).to_arrow()) == 0
    ordinary = letters.score_batch(["AB"])
    assert not {"logprob_variance", "logprob_mean", "z"} & set(ordinary.to_arrow("token").column_names)


def test_several_orders_are_refused(letters: LanguageModel):
    with pytest.raises(InputError, match="Detectors takes the Scores of score_batch in one order, not Mixtures"):
        Detectors(letters.score_batch(["AB"], order="random:2"))
    backwards = Detectors(letters.score_batch(["AB"], order="right-to-left"))[0]
    assert backwards.min_k_pp == pytest.approx(letters.score("BA").min_k_pp())


def test_generated_texts_have_them_too(letters: LanguageModel):
    generated = letters.generate("A", max_tokens=3, end=False)
    assert generated.min_k_pp() == letters.score(generated.text, context="A").min_k_pp()
