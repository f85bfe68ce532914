"""The small real model: every factor of real text, compared with the model's own forward of one unpadded text at a time."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
import torch

import chainrule
from chainrule._warnings import quiet
from chainrule.verify.code import prove
from chainrule.verify.references import TEXTS

pytestmark = pytest.mark.real
TOLERANCE = 1e-4  # nats, for every single factor
UNDETERMINED = {("It mu", 2), ("Econo", 1)}  # beginnings of texts, and positions of factors that float32 does not determine


def own_factors(lm: chainrule.LanguageModel, ids: np.ndarray) -> np.ndarray:
    """log Pr of each token after the start symbol by transformers' own model and head, with a log-softmax in float64."""
    whole = torch.from_numpy(np.append(lm.start.id, ids))
    with torch.inference_mode():
        logits = lm.model.own_logits(whole[:-1]).double()
        return (logits[torch.arange(len(ids)), whole[1:]] - logits.logsumexp(-1)).numpy()


@pytest.fixture(scope="module")
def texts(fortunes) -> list[str]:
    """Every twelfth text of the 500, the two of `check` among them. `make exactness` compares all."""
    return fortunes[10::12]


@pytest.fixture(scope="module")
def reference(real, texts) -> list[np.ndarray]:
    return [own_factors(real, ids) for ids in real.tokenizer.encode_batch(texts)]


@pytest.fixture(scope="module")
def exact() -> chainrule.LanguageModel:
    """The same model in float64, without the rounding of float32."""
    return chainrule.load("smollm2-135m", dtype="float64")


def check(scores: chainrule.Scores, reference: list[np.ndarray], exact: chainrule.LanguageModel) -> None:
    """Every factor is within the tolerance of the model's own forward, or is one that float32 does not determine.

    There are two such factors. At position 2 of "It must be remembered …", the model's own float32 forward differs from float64
    by up to 3e-3, and by 3e-3 from its own value for a shorter text. At position 1 of "Economists can certainly …", it
    differs by 4e-4 (LOG.md, "A factor that float32 does not determine").
    """
    undetermined = set()
    for score, own in zip(scores, reference, strict=True):
        for position in np.flatnonzero(np.abs(score.logprobs - own) >= TOLERANCE):
            truth = own_factors(exact, score.ids)[position]
            assert abs(own[position] - truth) > TOLERANCE / 2, (
                score.text,
                position,
                score.logprobs[position],
                own[position],
                truth,
            )
            assert abs(score.logprobs[position] - truth) < 5e-3
            undetermined.add((score.text[:5], int(position)))
    assert undetermined <= UNDETERMINED


def test_every_factor_of_real_texts(real, texts, reference, exact):
    check(real.score_batch(texts), reference, exact)


def test_as_close_to_float64_as_the_models_own_forward(real, texts, reference, exact):
    """On average, the kernels round no worse than PyTorch's, in texts without a factor that float32 does not determine."""
    some = range(1, len(texts), 2)
    assert {texts[i][:5] for i in some}.isdisjoint(beginning for beginning, _ in UNDETERMINED)
    truth = np.concatenate([own_factors(exact, real.tokenizer.encode(texts[i])) for i in some])
    own = np.concatenate([reference[i] for i in some])
    ours = real.score_batch([texts[i] for i in some]).logprobs
    assert np.abs(ours - truth).mean() < 1.05 * np.abs(own - truth).mean() < 1e-5


def test_texts_in_another_order(real, texts, reference, exact):
    order = random.Random(1).sample(range(len(texts)), 20)
    check(real.score_batch([texts[i] for i in order]), [reference[i] for i in order], exact)


@pytest.mark.parametrize("rows", [16, 61, 256, 2048])
def test_every_chunk_size(real, texts, reference, exact, rows):
    check(real.score_batch(texts[12:20], rows=rows), reference[12:20], exact)


def test_embeddings_instead_of_ids(real, texts, reference):
    for text, own in zip(texts[17:25], reference[17:25], strict=True):
        ids = real.tokenizer.encode(text)
        score = real.score(ids, embeddings=real.embed(ids))
        assert np.abs(score.logprobs - own).max() < TOLERANCE
    assert real.score(embeddings=real.embed(ids)).ids.tolist() == ids.tolist()


def test_bfloat16_is_as_close_as_the_models_own_forward(texts, reference):
    lm, some = chainrule.load("smollm2-135m", dtype="bfloat16"), texts[:12]
    ours = np.concatenate([score.logprobs for score in lm.score_batch(some)])
    own = np.concatenate([own_factors(lm, ids) for ids in lm.tokenizer.encode_batch(some)])
    truth = np.concatenate(reference[:12])
    assert np.abs(ours - truth).mean() <= np.abs(own - truth).mean()


def test_candidates_compute_each_distinct_context_once(real, fortunes):
    context = " ".join(fortunes[:8])
    candidates = [f" {' '.join(text.split()[:4])}" for text in fortunes[20:60]]
    scores = real.score_batch(candidates, context=context)
    assert scores.rows == scores.distinct_contexts
    prefixes = {(i, *ids[:n]) for i, ids in [(0, r.ids.tolist()) for r in scores.requests] for n in range(1, len(ids))}
    assert scores.distinct_contexts == 1 + len(scores.requests[0].context_ids) + len(prefixes)
    ranked = real.rank(context, candidates)
    assert [r.logprob for r in ranked] == sorted((r.logprob for r in ranked), reverse=True)
    assert ranked[0].logprob == pytest.approx(real.score(candidates[ranked[0].index], context=context).logprob, abs=1e-4)


def test_the_chain_rule_for_two_parts_of_a_text(real):
    """log Pr(ab) = log Pr(a) + log Pr(b | a)."""
    whole = real.score("It is raining. I need an umbrella.")
    first, second = real.score("It is raining."), real.score(" I need an umbrella.", context="It is raining.")
    assert second.boundary == "same"
    assert second.kind == "conditional"
    assert whole.logprob == pytest.approx(first.logprob + second.logprob, abs=1e-4)


def test_a_text_scored_one_token_at_a_time(real):
    score = real.score("A rolling stone gathers no moss.")
    running = 0.0
    for i, token in enumerate(score.ids):
        running += real.conditional(score.ids[:i].tolist()).logprob(int(token))
    assert running == pytest.approx(score.logprob, abs=1e-4)


def test_the_ids_of_the_real_tokenizer(real):
    """The conversion from GGUF preserves the tokenizer: these are the published ids of SmolLM2."""
    assert real.tokenizer.encode("Hello world").tolist() == [19556, 905]
    assert (real.start.policy, real.start.id) == ("bos", 1)


def test_transformers_loads_a_pulled_folder(real):
    from transformers import AutoModelForCausalLM

    from chainrule.models.packaged import folder

    with quiet():
        lm = AutoModelForCausalLM.from_pretrained(folder("smollm2-135m"))
    assert "quantization_config" not in json.loads((folder("smollm2-135m") / "config.json").read_text())
    assert lm.config.model_type == "llama"


def test_every_property_holds(real):
    report = real.verify([TEXTS[0], TEXTS[4]])  # the first is checked in detail; the last is in several scripts
    assert report.passed, str(report)
    assert not [p.name for p in report if p.status == "skip"]
    assert report["causality"].error == report["batch and order"].error == report["windows"].error == 0
    assert report["shift"].details["nats"] < 1e-4


def test_the_length_of_a_code_is_the_surprisal_of_the_text(real):
    text = "It is raining. I need an umbrella."
    code, report = prove(real, text)
    assert report.passed, str(report)
    assert 0 <= code.bits - real.score(text).bits <= 1.001  # at most one bit to end the code
