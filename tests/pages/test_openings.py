"""Factors opened: logit − log-sum-exp is log Pr, bit for bit, and the numbers are those of the model's own forward."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from model_kinds import KINDS, causal
from model_zoo import CONFIGS, V, tiny, tiny_any_order
from page_data import checked, numbers

from chainrule import LanguageModel, Score, TableModel
from chainrule.engine.head.opened import Opened
from chainrule.pages.openings import nearest
from chainrule.pages.recomputed import opened

IDS = [3, 50, 7, 7, 12, 60, 3, 9]
FLOAT32 = 2e-5  # logits of the tiny networks, which are below 10: the rounding of their float32 forward


def open_(lm: LanguageModel, score: Score, first: int = 0) -> Opened:
    return opened(lm, [score], [first])[0]


def own_logits(lm: LanguageModel, ids: list[int]) -> np.ndarray:
    """The logits at every token, by the model's own forward of one text."""
    return lm.model.own_logits(torch.tensor(ids)).double().numpy()


@pytest.mark.parametrize(
    "kind", ["forest", "sliding windows", "bfloat16", "own head", "batch", "single", "embeddings", "table"]
)
@pytest.mark.parametrize("temperature", [1.0, 0.7, 3.0])
def test_logit_minus_logsumexp_is_logprob(kind: str, temperature: float):
    lm = KINDS[kind].make()
    score = lm.score([1, 2, 0, 1] if kind == "table" else IDS, temperature=temperature)
    of_factors = open_(lm, score)
    if lm.invariant or lm.engine.strategy != "forest":
        assert (of_factors.logits - of_factors.logsumexps).tolist() == score.logprobs.tolist()
    else:
        assert np.abs(of_factors.logits - of_factors.logsumexps - score.logprobs).max() < FLOAT32


@pytest.mark.parametrize(
    "options",
    [{"context": [9, 4]}, {"start": "given"}, {"start": 5, "end": 1}, {"window": 4, "stride": 2}, {"window": 5}, {"last_n": 2}],
    ids=str,
)
def test_under_the_conditions_of_the_score(options: dict[str, Any]):
    lm = tiny("llama").lm
    score = lm.score(IDS, **options)
    of_factors = open_(lm, score)
    assert (of_factors.logits - of_factors.logsumexps).tolist() == score.logprobs.tolist()
    later = open_(lm, score, 1)
    assert later.logits.tolist() == of_factors.logits[1:].tolist()
    assert later.top_ids.tolist() == of_factors.top_ids[1:].tolist()


@pytest.mark.parametrize("name", ["llama", "gpt2", "bloom", "mamba"])
def test_the_logits_are_those_of_the_models_own_forward(name: str):
    if name not in CONFIGS:
        pytest.skip(f"no {name} among the tiny models")
    lm = tiny(name).lm
    score = lm.score(IDS)
    z_TV = own_logits(lm, [score.start.id, *IDS])[: len(IDS)]
    of_factors = open_(lm, score)
    assert np.abs(of_factors.logits - z_TV[np.arange(len(IDS)), IDS]).max() < FLOAT32
    assert np.abs(of_factors.logsumexps - torch.from_numpy(z_TV).logsumexp(-1).numpy()).max() < FLOAT32
    own_top = np.argsort(-z_TV, kind="stable")[:, :5]
    assert np.abs(of_factors.top_logits - np.take_along_axis(z_TV, own_top, 1)).max() < FLOAT32


def test_the_norm_is_that_of_the_hidden_state():
    lm = tiny("llama").lm
    score = lm.score(IDS)
    network = lm.model.reference
    with torch.inference_mode():
        h_TH = network.model(torch.tensor([[score.start.id, *IDS]])).last_hidden_state[0, : len(IDS)]
    assert open_(lm, score).hidden_norms == pytest.approx(h_TH.double().norm(dim=-1).numpy(), rel=1e-5)


def test_any_order():
    lm = tiny_any_order("llama").lm
    for order in ([2, 0, 3, 1], None):
        score = lm.score(IDS[:4], order=order)
        of_factors = open_(lm, score)
        logprobs = score.logprobs[np.argsort(score.ordering.steps)]
        assert (of_factors.logits - of_factors.logsumexps).tolist() == logprobs.tolist()
        assert open_(lm, score, 2).logits.tolist() == of_factors.logits[2:].tolist()


def test_equal_logits_are_in_the_order_of_their_ids():
    lm = LanguageModel(TableModel(list("ABCDEFG"), {"": [0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0]}, back_off=True))
    of_factors = open_(lm, lm.score("AB"))
    assert of_factors.top_ids.tolist() == [[1, 3, 0, 2, 4]] * 2


def test_an_impossible_token_has_the_logit_minus_infinity():
    lm = LanguageModel(TableModel(["A", "B"], {"": [1.0, 0.0]}, probabilities=True, back_off=True))
    data = checked(lm.page("AB"))
    assert data["openings"]["logit"] == [0.0, "-Infinity"]
    assert data["openings"]["raw_sum"] == "-Infinity"


@pytest.mark.parametrize(
    ("name", "kind"), [("llama", "rotary"), ("gpt2", "added"), ("opt", "added"), ("bloom", "other"), ("gpt_neox", "rotary")]
)
def test_the_part_of_the_position(name: str, kind: str):
    if name not in CONFIGS:
        pytest.skip(f"no {name} among the tiny models")
    lm = tiny(name).lm
    position = checked(lm.page(IDS))["openings"]["position"]
    assert position["kind"] == kind
    assert (position["norms"] is None) == (kind != "added")


def test_the_norms_of_positions_are_those_of_their_rows():
    lm = tiny("gpt2").lm
    weight = lm.model.lm.transformer.wpe.weight
    norms = checked(lm.page(IDS))["openings"]["position"]["norms"]
    assert norms == pytest.approx(weight[: len(IDS) + 1].norm(dim=-1).tolist(), rel=1e-5)


def test_a_table_has_no_positions(abc: LanguageModel):
    openings = checked(abc.page("AB"))["openings"]
    assert openings["position"]["kind"] == "none"
    assert openings["shapes"] == {"e": [4], "h": [3], "z": [3]}
    assert openings["table"] == [4, 4]


def test_the_nearest_tokens_by_a_slow_way(monkeypatch: pytest.MonkeyPatch):
    lm = tiny("llama").lm
    e_VD = lm.model.embed(torch.arange(V)).detach().float()
    unit_VD = e_VD / e_VD.norm(dim=-1, keepdim=True)
    for tile in (7, 8192):  # several tiles, and one
        monkeypatch.setattr("chainrule.pages.openings._TILE", tile)
        found = nearest(lm.model, [3, 50, 3])
        assert found.keys() == {3, 50}
        for id, pairs in found.items():
            cosines = (unit_VD @ unit_VD[id]).tolist()
            want = sorted((i for i in range(V) if i != id), key=lambda i: -cosines[i])[:5]
            assert [i for i, _ in pairs] == want
            assert [cosine for _, cosine in pairs] == pytest.approx([cosines[i] for i in want], abs=1e-5)


def test_the_logits_of_a_page(tiny: LanguageModel):
    data = checked(tiny.page("Hello world"))
    own, openings = data["readings"]["text"], data["openings"]
    z, lse = np.array(numbers(openings["logit"])), np.array(openings["logsumexp"])
    assert (z - lse).tolist() == own["logprob"]
    assert [row[0] for row in openings["top_logits"][0]] == [row[0] for row in own["top"][0][:5]]


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
def test_embeddings_and_their_norms_keep_all_digits(dtype: str):
    lm = causal({}, "gpt2", dtype).make()
    inputs = checked(lm.page([3, 50]))["openings"]["inputs"]
    e_ND = lm.model.embed(torch.tensor(inputs["t"]))
    norm_N, own = torch.linalg.vector_norm(e_ND.double(), dim=-1), np.float64 if dtype == "float64" else np.float32
    assert np.array(inputs["first"], own).tolist() == e_ND[:, :6].detach().to(torch.float64).numpy().tolist()
    rounding = np.finfo(own).eps * 8  # of a norm of 32 numbers
    np.testing.assert_allclose(inputs["norm"], norm_N.detach().numpy(), rtol=rounding, atol=0)
